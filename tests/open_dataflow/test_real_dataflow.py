"""The operator in a compiled pipeline of the real open-dataflow, between operators, on storages and with a serving
object of that package.

Run by `make test-dataflow`, which makes an environment with both packages.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from tests.support.commands import environment
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows

VENV = os.environ.get("REGIONCAP_DATAFLOW_VENV", "")
PIPELINE = Path(__file__).with_name("pipeline.py")
KEY = "sk-gateway-0123456789"

pytestmark = [
    pytest.mark.dataflow,
    pytest.mark.skipif(not VENV, reason="needs open-dataflow: make test-dataflow"),
    pytest.mark.usefixtures("prefect_server"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with three photos and a row without one."""
    rows: list[dict[str, Any]] = [{"image": "gone.png", "bbox": [BOX]}]
    for number in range(3):
        write_photo(tmp_path / f"photo{number}.png", number)
        rows.append({"image": f"photo{number}.png", "bbox": [BOX] if number else None})
    write_rows(tmp_path / "photos.jsonl", rows)
    return tmp_path


def run_pipeline(folder: Path, storage: str, cache_type: str, url: str) -> list[dict[str, Any]]:
    """What the pipeline's last operator passes on."""
    # Another key in the variable that DataFlow's classes read by default: it is not for this server.
    keys = {"GATEWAY_KEY": KEY, "DF_API_KEY": "sk-another-0123456789"}
    settings = {**environment(), **keys, "DF_LOGGING_LEVEL": "ERROR"}
    command = [str(Path(VENV).absolute() / "bin" / "python"), str(PIPELINE), storage, cache_type, url]
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def rejected(folder: Path) -> list[str]:
    [rejects] = (folder / "cache").glob("*.rejects.jsonl")
    return [reject["code"] for reject in read_rows(rejects)]


@pytest.mark.parametrize(
    ("storage", "cache_type"),
    [
        ("FileStorage", "csv"),
        ("FileStorage", "parquet"),
        ("FileStorage", "pickle"),  # only pandas reads it
        ("LazyFileStorage", "jsonl"),  # keeps its rows in memory
        ("ours", "jsonl"),
    ],
)
def test_the_operator_works_between_operators_on_their_storage(folder: Path, storage: str, cache_type: str) -> None:
    with RunningServer(Behaviour(model="fake-vlm", key=KEY)) as server:
        rows = run_pipeline(folder, storage, cache_type, server.url)
    assert [(row["image"], row["number"]) for row in rows] == [
        (f"photo{number}.png", number + 1) for number in range(3)
    ]
    assert [row["regions"] for row in rows][1:] == [1, 1]
    assert all("<region1> " in str(row["mdvp_record"]) for row in rows)
    assert rejected(folder) == ["image_missing"]


def test_a_pipeline_that_runs_again_asks_for_nothing(folder: Path) -> None:
    with RunningServer(Behaviour(model="fake-vlm", key=KEY)) as server:
        rows = run_pipeline(folder, "FileStorage", "jsonl", server.url)
        asked = server.stats["requests"]
        assert asked >= 3
        assert run_pipeline(folder, "FileStorage", "jsonl", server.url) == rows
        assert server.stats["requests"] == asked
    assert rejected(folder) == ["image_missing"]
