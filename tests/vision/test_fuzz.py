"""Damaged files are pictures or rejects, never a crash or a hang; `benchmarks/fuzz.py` does it thousands of times."""

from __future__ import annotations

import importlib.util
import os
from types import ModuleType

import pytest

from tests.support.commands import ROOT

FILES = int(os.environ.get("REGIONCAP_FUZZ_FILES", "400"))


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = ROOT / "benchmarks" / "fuzz.py"
    spec = importlib.util.spec_from_file_location("regioncap_fuzz", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sound_files_are_pictures(fuzz: ModuleType) -> None:
    assert {name: fuzz.outcome(data) for name, data in fuzz.originals().items()} == dict.fromkeys(
        fuzz.originals(), "picture"
    )


def test_damaged_files_are_pictures_or_rejects(fuzz: ModuleType) -> None:
    outcomes, _, wrong = fuzz.run(FILES, seed=1)
    assert wrong == []
    assert outcomes.total() == FILES
    assert outcomes["picture"] > 0
    assert outcomes["image_unreadable"] > 0
