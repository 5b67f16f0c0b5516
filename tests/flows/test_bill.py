"""What a run says that it cost is what the server bills: failed, repaired and trial requests included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import PERSONAS, Behaviour, RunningServer
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run

ROWS = 24
PRICES = {"usd_per_m_in": 2.5, "usd_per_m_out": 10.0}

CASES: dict[str, tuple[str, dict[str, float]]] = {
    "vllm": ("vllm", {"missing": 0.2, "reordered": 0.1, "500": 0.1}),
    "openai": ("openai", {"429": 0.2, "safety": 0.1, "length": 0.1}),
    "openrouter": ("openrouter", {"error_in_200": 0.1, "error_finish": 0.1, "policy": 0.1}),
    "thinking": ("vllm-thinking", {"think_cut": 0.2, "abort": 0.1, "odd_usage": 0.2}),
    "cut connections": ("deepseek", {"cut": 0.1, "truncated": 0.1, "garbage": 0.1}),
}


@pytest.fixture(params=list(CASES))
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    name, faults = CASES[request.param]
    behaviour = Behaviour(persona=PERSONAS[name], faults=faults, latency=0.01, retry_after=0.05, seed=2)
    with RunningServer(behaviour) as running:
        yield running


def test_a_run_counts_what_it_is_billed(tmp_path: Path, run: Run, server: RunningServer) -> None:
    for number in range(ROWS):
        write_photo(tmp_path / f"photo{number}.png", number)
    rows = [{"image": f"photo{number}.png", "bbox": [BOX, [60, 10, 20, 20]]} for number in range(ROWS)]
    write_rows(tmp_path / "photos.jsonl", rows)
    settings: dict[str, Any] = {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url]}
    summary = run(tmp_path, max_pixels=40_000, max_repairs=4, max_reject_share=1.0, **settings, **PRICES)
    billed, unseen = server.stats["billed"], server.stats["unseen"]
    prompt, completion = (billed[name] - unseen[name] for name in ("prompt_tokens", "completion_tokens"))
    assert len(server.stats["faults"]) >= 2
    assert (summary.prompt_tokens, summary.completion_tokens) == (prompt, completion)
    assert summary.requests == server.stats["requests"]
    assert summary.usd == pytest.approx((2.5 * prompt + 10.0 * completion) / 1e6, abs=1e-6)
