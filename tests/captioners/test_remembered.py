"""What an earlier run found out about a server: it is not tried out again, unless an answer contradicts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.base import CaptionResult
from regioncap.captioners.chat import ChatResponse
from regioncap.captioners.contradiction import contradicts
from regioncap.captioners.fake.persona import PLAIN
from regioncap.captioners.fake_server import PERSONAS, RunningServer, ScriptedResponse
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.remembered import RememberedFindings
from regioncap.captioners.session import CaptionSession, Server
from regioncap.config.model import RegionCapConfig
from regioncap.errors import CaptionerError
from regioncap.storage.filesystem import Place
from tests.support.model_servers import (
    TRIAL,
    Ask,
    Bill,
    Serve,
    captions_for,
    request_of,
    results_of,
    script_for,
    warm_up,
)

ROWS = 6
KEY = "quiet-river-0123456789"


def files_of(cache: Path) -> list[Path]:
    return sorted((cache / "endpoints").glob("*"))


def requests_of_run(server: RunningServer, captioner_of: Ask, cache: Path, **settings: Any) -> int:
    """How many requests a run of `ROWS` rows sends, whose captions are all right."""
    before = server.stats["requests"]
    captioner, bill = captioner_of(server, cache=cache, **settings)
    captioner.get_ready()
    for seed, result in enumerate(results_of(captioner, ROWS)):
        assert result.captions == captions_for(seed, 1, 2, 3), result.message
    sent: int = server.stats["requests"] - before
    assert sent == bill.counts.requests
    captioner.close()
    return sent


@pytest.mark.parametrize("structure", [("regex",), ("json_schema",), ()], ids=str)
def test_a_second_run_sends_no_trial(
    serve: Serve, captioner_of: Ask, tmp_path: Path, structure: tuple[str, ...]
) -> None:
    server = serve(structure=structure)
    assert requests_of_run(server, captioner_of, tmp_path) == ROWS + TRIAL
    assert requests_of_run(server, captioner_of, tmp_path) == ROWS
    assert requests_of_run(server, captioner_of, tmp_path, prompt="What is in {regions}?", temperature=0.5) == ROWS


def test_each_endpoint_and_model_has_its_own_file(serve: Serve, captioner_of: Ask, tmp_path: Path) -> None:
    servers = [serve(structure=("regex",)), serve(structure=())]
    for _ in range(2):
        captioner, _ = captioner_of(*servers, cache=tmp_path, max_in_flight=2)
        results_of(captioner, 20)
        assert [endpoint.structure for endpoint in captioner.session.endpoints] == ["regex", "none"]
    assert len(files_of(tmp_path)) == 2
    other = serve(model="other", port=0)
    requests_of_run(other, captioner_of, tmp_path, model="other")
    assert len(files_of(tmp_path)) == 3


def test_it_holds_no_secret(serve: Serve, captioner_of: Ask, tmp_path: Path) -> None:
    server = serve(key=KEY)
    captioner, _ = captioner_of(server, key=KEY, cache=tmp_path)
    warm_up(captioner)
    (file,) = files_of(tmp_path)
    found = json.loads(file.read_text())
    assert KEY not in file.read_text()
    assert (found["version"], found["structure"], found["endpoint"]) == (1, "regex", server.url)
    assert len(file.read_bytes()) < 1000


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[1]",
        lambda text: text.replace('"regex"', '"none"'),
        lambda text: json.dumps({**json.loads(text), "version": 99}),
    ],
    ids=["empty", "half", "a list", "altered", "another version"],
)
def test_what_is_damaged_counts_as_absent(
    serve: Serve, captioner_of: Ask, tmp_path: Path, damage: Callable[[str], str]
) -> None:
    server = serve()
    requests_of_run(server, captioner_of, tmp_path)
    (file,) = files_of(tmp_path)
    whole = file.read_text()
    file.write_text(damage(whole))
    assert requests_of_run(server, captioner_of, tmp_path) == ROWS + TRIAL
    assert file.read_text() == whole


@pytest.mark.parametrize(
    "settings",
    [{"max_pixels": 80_000}, {"max_tokens": 4096}, {"max_boxes": 9}, {"system_prompt": "Look. " * 1000}],
    ids=["pixels", "tokens", "regions", "text"],
)
def test_a_larger_request_is_tried_out(
    serve: Serve, captioner_of: Ask, tmp_path: Path, settings: dict[str, Any]
) -> None:
    server = serve()
    requests_of_run(server, captioner_of, tmp_path)
    assert requests_of_run(server, captioner_of, tmp_path, **settings) == ROWS + TRIAL
    assert requests_of_run(server, captioner_of, tmp_path) == ROWS  # the smaller one is known to fit


def test_a_server_of_our_own_is_another_one_in_every_run(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    config = RegionCapConfig(input="a.jsonl", endpoint=server.url, model="fake-vlm", max_pixels=40_000)
    remembered = RememberedFindings(Place(str(tmp_path / "endpoints")))
    session = CaptionSession(config, lambda: [Server(server.url, revive=lambda: None)], Bill(), remembered=remembered)
    assert session.submit(request_of(1)).result(timeout=60).code is None
    session.close()
    assert files_of(tmp_path) == []


# --- another server behind the same URL


def run_on_exchanged(
    server: RunningServer, captioner_of: Ask, cache: Path, **settings: Any
) -> tuple[list[CaptionResult | BaseException], list[CaptionResult], str | None]:
    """(results or errors, all that was kept, the structure at the end) of a run on a server that is known."""
    captioner, bill = captioner_of(server, cache=cache, **settings)
    captioner.get_ready()
    kept: list[CaptionResult] = []
    before = server.stats["requests"]
    futures = [captioner.submit(request_of(seed, keep=kept.append)) for seed in range(ROWS)]
    found = [future.exception(timeout=60) or future.result() for future in futures]
    if "refused the key" not in str(found[0]):  # requests with another key are not counted there
        on_the_way = sum(isinstance(error, CaptionerError) for error in found)  # when the run stopped: at most these
        assert 0 <= bill.counts.requests - (server.stats["requests"] - before) <= on_the_way
    structure = captioner.session.endpoints[0].structure
    captioner.close()
    return found, kept, structure


def assert_no_strike(kept: list[CaptionResult]) -> None:
    assert not any(so_far.model_failure for so_far in kept)
    for so_far in kept:  # of whichever row
        assert all(text.startswith("A cat with ") for text in so_far.captions.values())


EXCHANGED = {  # by what it is then: what it holds to
    "deepseek": "none", "tgi": "none", "vllm-unopened": "none", "gpt-oss": "none", "chatty": "none",
    "openai": "json_schema", "mistral": "json_schema", "vllm-0.10": "guided_regex",
}  # fmt: skip
OF_JSON = ("deepseek", "fenced")


@pytest.mark.parametrize(
    ("before", "name"), [*(("vllm", name) for name in EXCHANGED), *(("llamacpp", name) for name in OF_JSON)]
)
def test_a_server_that_keeps_to_another_form_is_tried_out_again(
    serve: Serve, captioner_of: Ask, tmp_path: Path, before: str, name: str
) -> None:
    server = serve(persona=PERSONAS[before])
    requests_of_run(server, captioner_of, tmp_path, max_repairs=0)
    server.change(persona=PERSONAS[name])
    found, kept, structure = run_on_exchanged(server, captioner_of, tmp_path, max_repairs=0)
    for seed, result in enumerate(found):
        assert isinstance(result, CaptionResult)
        assert result.captions == captions_for(seed, 1, 2, 3), result.message
    assert_no_strike(kept)
    # Where answers by the old form are read all the same, there is nothing to find out.
    assert structure in (EXCHANGED.get(name, "none"), {"vllm": "regex", "llamacpp": "json_schema"}[before])
    assert requests_of_run(server, captioner_of, tmp_path) == ROWS


STOPS: dict[str, tuple[dict[str, Any], str]] = {
    "a smaller context": ({"max_model_len": 1000}, "maximum context length is 1000"),
    "a smaller context that no list tells": (
        {"max_model_len": 1000}, "maximum context length is 1000",
    ),
    "another word for the end": ({"persona": replace(PLAIN, stop="done")}, "--accept-finish-reasons done"),
    "no word for the end": ({"persona": replace(PLAIN, stop="")}, "--accept-finish-reasons absent"),
    "another model": ({"model": "other"}, "It lists: other"),
    "another key": ({"key": "sk-other"}, "refused the key"),
    "streams only": ({"script": lambda body: ScriptedResponse("data: {}\n\n")}, "comes only as a stream"),
    "no eyes": ({"persona": PERSONAS["llamacpp-text"]}, "mmproj"),
}  # fmt: skip


@pytest.mark.parametrize("case", STOPS)
def test_a_server_that_cannot_be_used_any_more_stops_the_run_and_strikes_no_row(
    serve: Serve, captioner_of: Ask, tmp_path: Path, case: str
) -> None:
    change, words = STOPS[case]
    server = serve(persona=replace(PLAIN, lists="") if "no list" in case else PLAIN)
    requests_of_run(server, captioner_of, tmp_path)
    server.change(**change)
    found, kept, _ = run_on_exchanged(server, captioner_of, tmp_path, policy=RetryPolicy(max_pause=0.05))
    assert all(isinstance(error, CaptionerError) for error in found)
    assert words in str(found[-1])
    assert_no_strike(kept)
    assert not any(so_far.captions for so_far in kept)


def test_a_refused_picture_is_its_rows_fault_and_no_contradiction(
    serve: Serve, captioner_of: Ask, tmp_path: Path
) -> None:
    server = serve()
    requests_of_run(server, captioner_of, tmp_path)
    server.change(script=script_for(3, ScriptedResponse({"error": {"message": "not this one"}}, 400)))
    found, _, structure = run_on_exchanged(server, captioner_of, tmp_path, max_in_flight=4)
    refused = found.pop(3)
    assert isinstance(refused, CaptionResult)
    assert (refused.code, refused.model_failure, structure) == ("caption_failed", True, "regex")
    assert all(isinstance(result, CaptionResult) and result.code is None for result in found)


IN_LINES = "<region1>: A dog.\n<region2>: Its ball."
IN_JSON = '{"region1": "A dog.", "region2": "Its ball."}'
ANSWERS = {
    "lines": ("regex", IN_LINES, "stop", False),
    "lines, cut": ("regex", "<region1>: A dog.\n<region2>: Its", "length", False),
    "lines, cut in a label": ("guided_regex", "<region1>: A dog.\n<regi", "length", False),
    "nothing, cut": ("regex", "", "length", False),
    "lines, with a remark": ("regex", f"Sure!\n{IN_LINES}", "stop", True),
    "a remark, cut": ("regex", "Sure! <region1>: A dog.\n<reg", "length", True),
    "a third line": ("regex", f"{IN_LINES}\n<region3>: More.", "length", True),
    "one line": ("regex", "<region1>: A dog.", "stop", True),
    "prose": ("regex", "A dog with its ball.", "stop", True),
    "JSON": ("json_schema", IN_JSON, "stop", False),
    "JSON, indented": ("json_schema", IN_JSON.replace(" ", "\n "), "stop", False),
    "JSON that lacks one": ("json_schema", '{"region1": "A dog."}', "stop", True),
    "lines in place of JSON": ("json_schema", IN_LINES, "stop", True),
    "JSON without an end": ("json_schema", IN_JSON, "", False),
    "lines without an end": ("regex", IN_LINES, "", True),
    "an end that is not known": ("json_schema", IN_JSON, "done", True),
    "a filter": ("regex", "", "content_filter", False),
    "no form": ("none", "A dog with its ball.", "stop", False),
    "no form, without an end": ("none", IN_LINES, "", True),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_contradicts(case: str) -> None:
    form, text, word, expected = ANSWERS[case]
    assert contradicts(ChatResponse(text, word or "absent", form=form), (1, 2)) is expected
