"""Commands in a folder with photos, in this process."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with `photos.jsonl`, which is the current one."""
    monkeypatch.chdir(project)
    return project
