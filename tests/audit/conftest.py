"""An output of pictures with panels, from a model that sees them and mixes some up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer, Sight
from regioncap.flows.region_caption import region_caption
from tests.support.panels import panel_rows
from tests.support.rows import write_rows
from tests.support.runs import config_of

ROWS, REGIONS = 12, 5
MIX_UPS = {"number": 0.2}

Output = Callable[[], Path]


@pytest.fixture(scope="module")
def seeing() -> Iterator[RunningServer]:
    """A model server that sees what is under a mark, and mixes regions up in some requests."""
    with RunningServer(Behaviour(latency=0.0, slots=8, sight=Sight(MIX_UPS))) as running:
        yield running


@pytest.fixture(scope="module")
def made(seeing: RunningServer, prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos.jsonl`, `out.jsonl` and `cache`: a run over panels, of a few regions each."""
    folder = tmp_path_factory.mktemp("panels")
    write_rows(folder / "photos.jsonl", panel_rows(folder, ROWS, REGIONS))
    model = {"captioner": "openai", "model": "fake-vlm", "endpoint": [seeing.url], "max_boxes": REGIONS}
    region_caption(config_of(folder, **model))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is the current one."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder
