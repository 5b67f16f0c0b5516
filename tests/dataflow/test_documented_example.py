"""The example of DataFlow's documentation of the operator, with nothing but its imports changed, run as a script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, environment
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows

pytestmark = pytest.mark.usefixtures("prefect_server")

PAGE = (ROOT / "docs" / "dataflow.md").read_text()
EXAMPLE = PAGE.partition("```python\n")[2].partition("```")[0]
"""The example as docs/dataflow.md has it."""

SERVER = """
import os, sys
from pathlib import Path
from regioncap.captioners.fake_server import Behaviour, RunningServer

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
Path(os.environ["FAKE_VLLM"]).write_text("\\n".join(sys.argv[1:]))
behaviour = Behaviour(model=arguments["--served-model-name"], key=os.environ["VLLM_API_KEY"])
RunningServer(behaviour, port=int(arguments["--port"])).serve_forever()
"""
"""The fake server under the name of vLLM's module."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory as the example expects it, and a `vllm` to import."""
    module = tmp_path / "packages" / "vllm" / "entrypoints" / "openai" / "api_server.py"
    module.parent.mkdir(parents=True)
    module.write_text(SERVER)
    photos = [write_photo(tmp_path / "photos" / f"{number}.png", number) for number in range(3)]
    paths = [str(photos[0]), str(photos[1].relative_to(tmp_path)), str(photos[2])]
    rows = [{"image": paths[0], "bbox": [BOX]}, {"image": paths[1]}, {"image": paths[2], "bbox": None}]
    (tmp_path / "example").mkdir()
    write_rows(tmp_path / "example" / "input.jsonl", rows)
    return tmp_path


def run_example(folder: Path) -> subprocess.CompletedProcess[str]:
    """The example in a process of its own, on a machine with one GPU."""
    settings = {
        **environment(),
        "PYTHONPATH": f"{folder / 'packages'}:{ROOT}",
        "CUDA_VISIBLE_DEVICES": "0",
        "FAKE_VLLM": str(folder / "arguments"),
    }
    command = [sys.executable, "-c", EXAMPLE]
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300)


def test_the_documented_example_runs_with_only_its_imports_changed(folder: Path) -> None:
    done = run_example(folder)
    assert done.returncode == 0, done.stderr
    rows = read_rows(folder / "example" / "output.jsonl")
    assert [row["meta_info"]["type"] for row in rows] == ["with_bbox", "without_bbox", "without_bbox"]
    assert all(
        text.startswith(f"<region{number}> ") for row in rows for number, text in enumerate(row["mdvp_record"], 1)
    )
    assert all(Path(row["meta_info"]["image_with_bbox"]).is_file() for row in rows)
    assert read_rows(folder / "example" / "cache" / "region_caption_step1.jsonl") == rows
    arguments = (folder / "arguments").read_text().split("\n")
    assert arguments[arguments.index("--model") + 1] == "./Models/Qwen2.5-VL-7B-Instruct"
    summary = json.loads((folder / "example" / "output.summary.json").read_text())
    settings = {name: summary["config"][name] for name in ("temperature", "top_p", "max_tokens", "top_k", "seed")}
    assert settings == {"temperature": 0.0, "top_p": 0.9, "max_tokens": 1024, "top_k": 40, "seed": 42}

    (folder / "arguments").unlink()
    before = (folder / "example" / "output.jsonl").read_bytes()
    assert run_example(folder).returncode == 0
    assert not (folder / "arguments").exists()  # every caption is there: no model is started
    assert (folder / "example" / "output.jsonl").read_bytes() == before
