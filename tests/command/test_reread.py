"""Other rules than captions were read with: stored replies are read again, and only what is gone is requested."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners import replies
from regioncap.captioners.fake_server import Behaviour, RunningServer, ScriptedResponse
from regioncap.captioners.reading.parsing import Parsed
from regioncap.command.terminal import plan_lines
from regioncap.errors import BudgetReached, UsageError
from regioncap.output.summary import Summary
from regioncap.preflight.plan import Plan
from regioncap.tasks import cached_answer
from tests.support.commands import call
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run, config_of

ROWS = 4


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.0)) as running:
        yield running


@pytest.fixture
def caption(tmp_path: Path, run: Run, server: RunningServer) -> Callable[..., Summary]:
    """`caption(**settings)`: a run over four photos with two regions each."""
    rows = []
    for number in range(ROWS):
        write_photo(tmp_path / f"{number}.png", number)
        rows.append({"image": f"{number}.png", "bbox": [BOX, [60, 10, 20, 20]]})
    write_rows(tmp_path / "photos.jsonl", rows)
    model = {"captioner": "openai", "model": "fake-vlm", "endpoint": server.url, "max_pixels": 40_000}
    return lambda **settings: run(tmp_path, **{**model, "max_reject_share": 1.0, "max_repairs": 1, **settings})


@contextlib.contextmanager
def other_rules(read: Callable[[Sequence[int]], dict[int, str]]) -> Iterator[None]:
    """Replies are read as by an earlier version: `read` gives the captions for the regions asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached_answer, "RULES_VERSION", 0)
        patch.setattr(replies, "read_reply", lambda text, wanted, **how: Parsed(read(wanted)))
        yield


def nothing(wanted: Sequence[int]) -> dict[int, str]:
    return {}


def the_first(wanted: Sequence[int]) -> dict[int, str]:
    return {1: "A draft"} if 1 in wanted else {}


def drafts(wanted: Sequence[int]) -> dict[int, str]:
    return dict.fromkeys(wanted, "A draft")


def thinking(body: Any) -> ScriptedResponse:
    """The answer of a model whose reasoning never ends."""
    message = {"role": "assistant", "content": "<think>\n<region1>: A draft\n<region2>: A draft\n"}
    return ScriptedResponse({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5}})


def texts(folder: Path) -> set[str]:
    return {text.partition("> ")[2] for row in read_rows(folder / "out.jsonl") for text in row["mdvp_record"]}


def cached(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "cache" / "captions").rglob("*.json")}


def test_rows_that_only_the_rules_rejected_need_no_request(
    tmp_path: Path, caption: Callable[..., Summary], server: RunningServer
) -> None:
    with other_rules(nothing):
        before = caption()
    assert (before.rows_out, before.rejects) == (0, ROWS)
    asked = server.stats["requests"]
    after = caption()
    assert (after.rows_out, after.requests, after.captions_asked, server.stats["requests"]) == (ROWS, 0, 0, asked)
    assert len(texts(tmp_path)) == 2 * ROWS
    # What was paid for them stays counted: each was asked twice.
    assert {row["meta_info"]["usage"]["requests"] for row in read_rows(tmp_path / "out.jsonl")} == {2}
    assert caption().step_seconds == {}


def test_rows_on_hold_are_completed_as_well(caption: Callable[..., Summary], server: RunningServer) -> None:
    with other_rules(the_first):
        for _ in range(cached_answer.MAX_FAILED_RUNS):
            caption()
        asked = server.stats["requests"]
        caption()
        assert server.stats["requests"] == asked
    assert (caption().rows_out, server.stats["requests"]) == (ROWS, asked)


def test_captions_that_the_rules_no_longer_accept_are_counted_before_they_are_requested(
    tmp_path: Path, caption: Callable[..., Summary], server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.change(structure=())
    with other_rules(drafts):
        caption(limit=1)
        server.change(script=thinking)
        caption(structure="none")
    assert texts(tmp_path) == {"A draft"}
    asked, stored = server.stats["requests"], cached(tmp_path)
    server.change(script=None)
    # The reply to the first row was good: what it gives differs, but nothing is requested for it.
    counted = r"6 captions of 3 rows are no longer accepted by today's rules"
    with pytest.raises(UsageError, match=rf"{counted}, and would be .* Set on_config_change=recaption .* --dry-run"):
        caption(on_config_change="refuse", structure="none")
    assert server.stats["requests"] == asked
    assert sum(cached(tmp_path)[name] != text for name, text in stored.items()) <= 1
    caplog.clear()
    after = caption(structure="none")
    assert f"{counted} and will be requested again" in caplog.text
    assert "1 of 4 rows are done; captions for 6 regions will be requested" in caplog.text
    assert (after.rows_out, after.captions_asked) == (ROWS, 6)
    assert len(texts(tmp_path)) == 2 * ROWS
    assert "A draft" not in texts(tmp_path)
    caption(on_config_change="refuse")


def test_captions_that_replaced_flagged_ones_count_as_well(
    caption: Callable[..., Summary], server: RunningServer
) -> None:
    def thinking_when_closer(body: Any) -> ScriptedResponse | None:
        pictures = [part for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
        return thinking(body) if len(pictures) > 1 else None

    short = {"repair_flags": ["too_short"], "structure": "none"}
    server.change(structure=(), caption=lambda pictures, number: "A cup", script=thinking_when_closer)
    with other_rules(lambda wanted: dict.fromkeys(wanted, "A cup")):
        caption(**short)
    asked = server.stats["requests"]
    with pytest.raises(UsageError, match="8 captions of 4 rows are no longer accepted"):
        caption(**short, on_config_change="refuse")
    assert server.stats["requests"] == asked


def test_a_plan_says_how_many_captions_are_no_longer_accepted(tmp_path: Path) -> None:
    (tmp_path / "photos.jsonl").touch()
    lines = "\n".join(plan_lines(Plan(outdated=[2, 1]), config_of(tmp_path)))
    assert "3 captions of 2 rows are no longer accepted by today's rules: they are among those to request." in lines
    assert "no longer" not in "\n".join(plan_lines(Plan(), config_of(tmp_path)))


def test_a_damaged_answer_is_requested_again_and_stops_nothing(
    tmp_path: Path, caption: Callable[..., Summary], server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caption()
    right = (tmp_path / "out.jsonl").read_bytes()
    damaged = next((tmp_path / "cache" / "captions").rglob("*.json"))
    stored = json.loads(damaged.read_bytes())
    damaged.write_text(json.dumps({**stored, "captions": {"1": "Another.", "2": "Still another."}}))
    for manifest in (tmp_path / "cache" / "regioncap_step6").glob("*.json"):
        manifest.unlink()
    (tmp_path / "out.jsonl").unlink()
    again = caption()
    assert (again.rows_out, again.captions_asked) == (ROWS, 2)
    assert (tmp_path / "out.jsonl").read_bytes() == right
    assert caplog.text.count(f"{damaged} is damaged (its checksum does not match)") == 1


# --- the command


def test_reread_counts_and_changes_nothing_in_a_dry_run(
    tmp_path: Path, caption: Callable[..., Summary], capsys: pytest.CaptureFixture[str]
) -> None:
    with other_rules(the_first):
        caption()
    before = cached(tmp_path)
    done = call(capsys, "reread", str(tmp_path / "out.jsonl"), "--dry-run", "--cache-path", str(tmp_path / "cache"))
    assert (done.code, done.out.splitlines()) == (
        0,
        [
            "4 answers with 8 replies: 0 captions stay, 4 change, 4 are new, 0 are gone",
            "4 answers that lacked captions are complete: they need no request any more",
            "nothing was changed",
        ],
    )
    assert cached(tmp_path) == before


def test_the_next_run_uses_what_was_reread(
    tmp_path: Path, caption: Callable[..., Summary], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with other_rules(the_first):
        caption()
    asked, output = server.stats["requests"], str(tmp_path / "out.jsonl")
    assert "stored; the next `regioncap run` uses it" in call(capsys, "reread", output).out
    again = call(capsys, "reread", output)
    assert "8 captions stay, 0 change, 0 are new, 0 are gone" in again.out
    assert (caption().rows_out, server.stats["requests"]) == (ROWS, asked)


def test_reread_without_new_rules_finds_what_the_cached_rows_lack(
    caption: Callable[..., Summary], server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(cached_answer, "RULES_VERSION", 0)  # they changed, and nobody has raised the version
    with other_rules(drafts):
        caption()
    asked = server.stats["requests"]
    assert caption().step_seconds == {}
    assert "0 captions stay, 8 change" in call(capsys, "reread", str(tmp_path / "out.jsonl")).out
    assert (caption().rows_out, server.stats["requests"]) == (ROWS, asked)
    assert "A draft" not in texts(tmp_path)


def test_reread_says_what_is_gone(
    tmp_path: Path, caption: Callable[..., Summary], server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.change(structure=(), script=None)
    with other_rules(drafts):
        caption(limit=1, structure="none")
        server.change(script=thinking)
        caption(structure="none")
    out = call(capsys, "reread", str(tmp_path / "out.jsonl")).out
    assert "0 captions stay, 2 change, 0 are new, 6 are gone" in out
    assert "the 6 that are gone will be requested again by the next run" in out
    server.change(script=None)
    assert (caption(structure="none").captions_asked, len(texts(tmp_path))) == (6, 2 * ROWS)


def test_a_stopped_run_is_reread_by_its_output(
    tmp_path: Path, caption: Callable[..., Summary], capsys: pytest.CaptureFixture[str]
) -> None:
    with other_rules(nothing), pytest.raises(BudgetReached):
        caption(max_requests=4, shard_size=2)
    output, cache = str(tmp_path / "out.jsonl"), str(tmp_path / "cache")
    done = call(capsys, "reread", output, "--cache-path", cache, "--shard-size", "2")
    assert done.code in (0, 1)  # the second shard may be drawn or not
    assert "are new, 0 are gone" in done.out
    assert "0 are new" not in done.out


def test_reread_names_rows_that_it_cannot_know(
    tmp_path: Path, caption: Callable[..., Summary], capsys: pytest.CaptureFixture[str]
) -> None:
    caption()
    for manifest in (tmp_path / "cache" / "regioncap_step4").glob("*.json"):
        manifest.unlink()
    done = call(capsys, "reread", str(tmp_path / "out.jsonl"))
    assert (done.code, done.err) == (1, "regioncap: 4 rows are not drawn yet: left out\n")


def test_captions_without_a_model_cannot_be_reread(
    tmp_path: Path, run: Run, caption: Callable[..., Summary], capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    done = call(capsys, "reread", str(tmp_path / "out.jsonl"))
    assert done.code == 2
    assert "captioner: pixels gives captions without a model's replies" in done.err
    missing = call(capsys, "reread", str(tmp_path / "other.jsonl"), "--cache-path", str(tmp_path / "cache"))
    assert missing.code == 2
    assert "expected the output of a run" in missing.err
