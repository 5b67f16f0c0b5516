"""The whole flow with a real vLLM, started by the product's own code on a tiny model with random weights.

Run by `make test-vllm`, which makes vLLM's environment and the model.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.errors import CaptionerError
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

VENV = os.environ.get("REGIONCAP_VLLM_VENV", "")
HERE = Path(__file__).parent
ROWS = 24
SETTINGS: dict[str, Any] = {
    "captioner": "vllm",
    "gpus": "none",
    "vllm_args": "--enforce-eager --dtype float32",
    "gpu_memory_utilization": 0.2,
    "max_model_len": 4096,
    "max_tokens": 512,
    "max_pixels": 50_176,
    # Random weights do not know when to stop: the structure does it for them.
    "max_caption_chars": 30,
    "temperature": 0.8,
    "seed": 1,
    "max_in_flight": 2,
    "max_repairs": 5,
}

pytestmark = [pytest.mark.vllm, pytest.mark.skipif(not VENV, reason="needs a real vLLM: make test-vllm")]


def servers(model: Path) -> list[int]:
    """Process ids of the vLLM servers of this model, and of nothing else."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"vllm.entrypoints.openai.api_server" in words and b"supervisor.py" not in b" ".join(words):
                found += [int(folder.name)] if os.fsencode(model) in words else []
    return found


class Killer:
    """Kills each server of a model once it has given some answers, until stopped."""

    def __init__(self, model: Path, answers: Path) -> None:
        self._model, self._answers = model, answers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.killed: list[int] = []

    def _watch(self) -> None:
        before = 0
        while not self._over.wait(0.05):
            count = len(list(self._answers.rglob("*.json")))
            if count < before + 3:
                continue
            for pid in set(servers(self._model)) - set(self.killed):
                before = count
                self.killed.append(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The tiny model, and the environment in which vLLM serves it here."""
    monkeypatch.setenv("PYTHONPATH", str(HERE / "path"))
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = Path(VENV, "tiny-model").absolute()
    yield folder
    assert servers(folder) == []


def test_killed_twice_it_stops_cleanly_and_the_next_run_goes_on(tmp_path: Path, run: Run, model: Path) -> None:
    rows = []
    for number in range(ROWS):
        write_photo(tmp_path / f"photo{number}.png", number)
        rows.append({"image": f"photo{number}.png", "bbox": [BOX, [60, 10, 20, 20]][: 1 + number % 2]})
    write_rows(tmp_path / "photos.jsonl", rows)
    settings = {**SETTINGS, "model": str(model), "vllm_python": str(Path(VENV, "bin", "python").absolute())}
    answers = tmp_path / "cache" / "captions"

    with Killer(model, answers) as killer, pytest.raises(CaptionerError, match="vLLM ended again"):
        run(tmp_path, **settings)
    assert len(killer.killed) == 2
    assert servers(model) == []
    assert not (tmp_path / "out.jsonl").exists()
    kept = len(list(answers.rglob("*.json")))
    assert 6 <= kept < ROWS

    summary = run(tmp_path, **settings)
    assert (summary.rows_in, summary.rows_out, summary.regions) == (ROWS, ROWS, ROWS * 3 // 2)
    assert summary.captions_reused > 0
    assert summary.requests - summary.captions_repaired <= ROWS - kept + 4
    for row in read_rows(tmp_path / "out.jsonl"):
        assert [text.split(" ")[0] for text in row["mdvp_record"]] == [
            f"<region{n + 1}>" for n in range(len(row["meta_info"]["bbox"]))
        ]
        assert all(len(text) > len("<region1> ") for text in row["mdvp_record"])
        assert row["meta_info"]["usage"]["prompt_tokens"] > 0
    again = run(tmp_path, **settings)
    assert (again.captions_asked, again.step_seconds) == (0, {})
