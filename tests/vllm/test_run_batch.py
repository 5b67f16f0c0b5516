"""Files of requests, answered by the real `vllm run-batch` on the tiny model: its output form, its refusals, its parts.

Run by `make test-vllm`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import Waiting
from tests.support.photos import write_photo
from tests.support.request_files import captioned_by_files, request_files, requests_in, results_beside
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

VENV = os.environ.get("REGIONCAP_VLLM_VENV", "")
ROWS = 6
SETTINGS: dict[str, Any] = {
    "captioner": "auto",
    "delivery": "file",
    "max_tokens": 512,
    "max_pixels": 50_176,
    # Random weights do not know when to stop: the structure does it for them.
    "max_caption_chars": 30,
    "temperature": 0.8,
    "seed": 1,
    "max_repairs": 5,
}
VLLM_ARGS = ("--enforce-eager", "--dtype", "float32", "--gpu-memory-utilization", "0.2", "--max-model-len", "4096")
ROUNDS = 6
"""Random weights may say what is no caption."""

pytestmark = [pytest.mark.vllm, pytest.mark.skipif(not VENV, reason="needs a real vLLM: make test-vllm")]


def answer(path: Path, model: Path) -> None:
    """Have vLLM answer a file of requests."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent / "path"),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    # What the command `vllm run-batch` calls: the build for CPUs has another name, by which that does not find itself.
    run_batch = [str(Path(VENV, "bin", "python").absolute()), "-m", "vllm.entrypoints.launchers.run_batch"]
    command = [*run_batch, "-i", str(path), "-o", str(results_beside(path)), "--model", str(model), *VLLM_ARGS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_run_batch_answers_what_a_run_writes(tmp_path: Path, run: Run) -> None:
    model = Path(VENV, "tiny-model").absolute()
    rows = []
    for number in range(ROWS):
        write_photo(tmp_path / f"photo{number}.png", number)
        rows.append({"image": f"photo{number}.png", "bbox": [BOX, [60, 10, 20, 20]][: 1 + number % 2]})
    write_rows(tmp_path / "photos.jsonl", rows)
    settings = {**SETTINGS, "model": str(model)}
    asked = 0
    for _ in range(ROUNDS):
        try:
            summary = run(tmp_path, **settings)
            break
        except Waiting:
            (path,) = request_files(tmp_path)
            asked += len(requests_in(path))
            answer(path, model)
    else:
        raise AssertionError("still waiting")

    assert ROWS <= asked <= 3 * ROWS
    assert (summary.rows_in, summary.rows_out, summary.regions) == (ROWS, ROWS, ROWS * 3 // 2)
    for row in read_rows(tmp_path / "out.jsonl"):
        assert [text.split(" ")[0] for text in row["mdvp_record"]] == [
            f"<region{n + 1}>" for n in range(len(row["meta_info"]["bbox"]))
        ]
        assert all(len(text) > len("<region1> ") for text in row["mdvp_record"])
        assert row["meta_info"]["usage"]["prompt_tokens"] > 0
    again = run(tmp_path, **settings)
    assert (again.captions_asked, again.step_seconds) == (0, {})


def test_what_vllm_refuses_is_told_with_its_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_photo(tmp_path / "photo.png", 1)
    write_rows(tmp_path / "photos.jsonl", [{"image": "photo.png", "bbox": [BOX]}])
    settings = {**SETTINGS, "model": "another-model"}
    with pytest.raises(Waiting):
        captioned_by_files(tmp_path, **settings)
    (path,) = request_files(tmp_path)
    answer(path, Path(VENV, "tiny-model").absolute())
    with pytest.raises(Waiting, match=r"\(0 of 1 answers\)"):
        captioned_by_files(tmp_path, **settings)
    assert request_files(tmp_path) == [path]
    assert "404: The model `another-model` does not exist" in caplog.text
