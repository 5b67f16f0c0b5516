"""Where the pages' commands run: a folder with the photos of README's first example and the output of a run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage

from regioncap.captioners.fake_server import Behaviour, RunningServer
from tests.docs.pages import blocks
from tests.support.commands import ROOT

MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
"""The model that the pages' examples name."""


@pytest.fixture(scope="session")
def model_server() -> Iterator[str]:
    """The URL of a fake server with the examples' model."""
    with RunningServer(Behaviour(model=MODEL, latency=0.01)) as server:
        yield server.url


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, prefect_server: None, model_server: str) -> Path:
    """A folder as a user has it after a run of README's: photos, list, output, cache."""
    from regioncap.flows.region_caption import region_caption

    folder = tmp_path_factory.mktemp("docs")
    (folder / "photos").mkdir()
    for name in ("coffee.png", "coins.png"):
        shutil.copy(Path(skimage.__file__).parent / "data" / name, folder / "photos")
    rows = next(block for block in blocks(ROOT / "README.md") if block.language == "json")
    (folder / "photos.jsonl").write_text(rows.text)
    with contextlib.chdir(folder):
        region_caption(input="photos.jsonl", output="captions.jsonl", endpoint=[model_server], model=MODEL)
    return folder
