"""The conversation with model servers: over real HTTP, with servers that fail in every way they do."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import wait
from dataclasses import replace
from typing import Any

import pytest

from regioncap.captioners.base import CaptionResult
from regioncap.captioners.endpoint import Endpoint
from regioncap.captioners.fake_server import FAULTS, ScriptedResponse
from regioncap.captioners.health import RetryPolicy
from regioncap.captioners.probe import Probe
from regioncap.errors import BudgetReached, CaptionerError, Stopped
from tests.support.model_servers import (
    TRIAL,
    Ask,
    Serve,
    captions_for,
    images_of,
    request_of,
    results_of,
    script_for,
    warm_up,
)
from tests.support.waiting import until


def right(results: list[CaptionResult], regions: int = 3) -> list[int]:
    """The pictures whose every region has its own caption; every other caption that came must be right too."""
    for seed, result in enumerate(results):
        expected = captions_for(seed, *range(1, regions + 1))
        assert result.captions.items() <= expected.items(), f"picture {seed} got {result.captions}"
    return [seed for seed, result in enumerate(results) if len(result.captions) == regions]


CURABLE = [
    pytest.param(name, structure, id=f"{name}-{'+'.join(structure) or 'none'}")
    for name, fault in FAULTS.items()
    for structure in ([("regex",), ("json_schema",), ()] if fault.whose == "answer" else [("regex",)])
    if fault.whose in ("moment", "answer") and name != "endless"
]
"""Faults that another request may cure, each with the forms that matter to it."""


def test_every_region_gets_its_own_caption(serve: Serve, captioner_of: Ask) -> None:
    server = serve(slots=8)
    captioner, bill = captioner_of(server, max_in_flight=8)
    results = results_of(captioner, 40)
    assert right(results) == list(range(40))
    assert all(result.code is None and result.usage["requests"] == 1 for result in results)
    assert server.stats["requests"] == bill.counts.requests == 40 + TRIAL
    assert bill.counts.prompt_tokens > 40 * 60
    assert server.stats["sent_again"] == 0


@pytest.mark.parametrize(("fault", "structure"), CURABLE)
def test_a_fault_costs_a_request_and_no_caption(
    serve: Serve, captioner_of: Ask, fault: str, structure: tuple[str, ...]
) -> None:
    server = serve(structure=structure, retry_after=0.05)
    captioner, bill = captioner_of(
        server, max_in_flight=16, request_timeout=2.0 if fault == "hang" else 60, max_repairs=8
    )
    warm_up(captioner)
    server.change(faults={fault: 0.2})
    results = results_of(captioner, 40)
    assert right(results) == list(range(40)), [result.message for result in results if result.code]
    assert server.stats["faults"][fault] > 0
    # What was sent again is what failed, and nothing that was answered.
    assert server.stats["sent_again_after_answer"] == 0
    assert server.stats["sent_again"] == bill.counts.requests_retried
    assert server.stats["sent_again"] == (server.stats["faults"][fault] if FAULTS[fault].whose == "moment" else 0)


def test_missing_regions_alone_are_asked_for_again_a_little_warmer(serve: Serve, captioner_of: Ask) -> None:
    server = serve(structure=(), faults={})
    captioner, bill = captioner_of(server)
    warm_up(captioner)
    bodies = server.record()
    server.change(faults={"missing": 1.0})
    result = captioner.submit(request_of(7)).result(timeout=60)
    assert [texts(body).count(": …") for body in bodies] == [3, 1, 1]
    assert [body["temperature"] for body in bodies] == [0.0, 0.3, 0.6]
    assert "Describe only <region2>." in texts(bodies[1])
    assert result.captions == captions_for(7, 1, 3)
    assert result.code == "captions_incomplete"
    assert "no caption for <region2> after 3 requests" in result.message
    server.change(faults={})
    rest = captioner.submit(request_of(7, wanted=(2,))).result(timeout=60)
    assert rest.captions == captions_for(7, 2)
    assert bill.counts.captions_repaired == 0


def test_a_cut_answer_keeps_what_was_whole(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server, max_repairs=0)
    warm_up(captioner)
    server.change(faults={"length": 1.0})
    result = captioner.submit(request_of(3)).result(timeout=60)
    assert result.captions == captions_for(3, 1)
    assert "cut at max_tokens" in result.message


def test_a_failure_of_the_server_is_no_failure_of_the_model(serve: Serve, captioner_of: Ask) -> None:
    server = serve(structure=())
    captioner, _ = captioner_of(server, policy=RetryPolicy(max_tries=2))
    warm_up(captioner)
    server.change(script=script_for(3, ScriptedResponse({"error": "this picture makes me fail"}, 500)))
    result = captioner.submit(request_of(3)).result(timeout=60)
    assert (result.code, result.model_failure) == ("caption_failed", False)
    server.change(script=None, faults={"refusal": 1.0})
    result = captioner.submit(request_of(3)).result(timeout=60)
    assert (result.code, result.model_failure) == ("captions_incomplete", True)


def test_captions_are_kept_before_the_row_is_done(serve: Serve, captioner_of: Ask) -> None:
    server = serve(structure=())
    captioner, _ = captioner_of(server, max_repairs=1)
    warm_up(captioner)
    server.change(faults={"missing": 1.0})
    kept: list[CaptionResult] = []
    captioner.submit(request_of(5, keep=kept.append)).result(timeout=60)
    # With each reply, whether it gave something or not; at the end, when it is the row's own fault that one is missing.
    assert [(so_far.captions, len(so_far.replies), so_far.model_failure) for so_far in kept] == [
        (captions_for(5, 1, 3), 1, False),
        (captions_for(5, 1, 3), 2, False),
        (captions_for(5, 1, 3), 2, True),
    ]
    assert [so_far.usage["requests"] for so_far in kept] == [1, 2, 2]


def test_peak_in_flight_never_passes_the_limit(serve: Serve, captioner_of: Ask) -> None:
    servers = [serve(slots=50), serve(slots=50), serve(slots=50)]
    captioner, _ = captioner_of(*servers, max_in_flight=10)
    results_of(captioner, 120)
    peaks = [server.stats["peak_in_flight"] for server in servers]
    assert sum(peaks) <= 10
    assert min(peaks) >= 3  # and each server has its share


def test_the_limit_falls_with_429_and_recovers(serve: Serve, captioner_of: Ask) -> None:
    server = serve(slots=4, max_waiting=4, retry_after=0.02)
    captioner, bill = captioner_of(server, max_in_flight=64)
    assert right(results_of(captioner, 200)) == list(range(200))
    limit = captioner.session.endpoints[0].limit
    assert bill.counts.requests_retried > 0
    fallen = limit.limit
    assert fallen < 40
    server.change(max_waiting=None)
    results_of(captioner, 800, first=200)
    assert limit.limit > fallen
    assert server.stats["sent_again_after_answer"] == 0


@pytest.mark.parametrize("metrics", [True, False], ids=["queue reported", "speed measured"])
def test_auto_grows_until_the_server_queues(serve: Serve, captioner_of: Ask, metrics: bool) -> None:
    server = serve(slots=64, latency=1.0, metrics=metrics)
    captioner, _ = captioner_of(server)
    assert len(right(results_of(captioner, 600), 3)) == 600
    assert 64 <= server.stats["peak_in_flight"] <= 200
    assert server.stats["busy_share"] > 0.6


def test_the_faster_server_gets_more(serve: Serve, captioner_of: Ask) -> None:
    slow, fast = serve(latency=3.0), serve(latency=0.02)
    captioner, _ = captioner_of(slow, fast, max_in_flight=8)
    results_of(captioner, 150)
    assert fast.stats["requests"] > 3 * slow.stats["requests"]


def test_the_run_goes_on_without_a_server_that_dies(serve: Serve, captioner_of: Ask) -> None:
    dying, other = serve(latency=0.05), serve(latency=0.05)
    captioner, _ = captioner_of(dying, other, max_in_flight=8)
    futures = [captioner.submit(request_of(seed)) for seed in range(100)]
    wait(futures[:20])
    dying.stop()
    results = [future.result(timeout=60) for future in futures]
    assert right(results) == list(range(100))


def test_a_server_that_comes_back_is_used_again(serve: Serve, captioner_of: Ask) -> None:
    server = serve(latency=0.02)
    captioner, _ = captioner_of(server, max_in_flight=4)
    warm_up(captioner)
    server.stop()
    future = captioner.submit(request_of(9))
    again = serve(latency=0.02, port=server.port)
    assert future.result(timeout=60).captions == captions_for(9, 1, 2, 3)
    assert again.stats["requests"] == 1


def test_a_server_that_comes_late_is_tried_out_and_used(serve: Serve, captioner_of: Ask) -> None:
    first = serve(latency=0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        late_url = f"http://127.0.0.1:{port}"
        captioner, _ = captioner_of(first, late_url, max_in_flight=4, policy=RetryPolicy(max_pause=0.2))
        warm_up(captioner)
    late = serve(latency=0.05, port=port, structure=("json_schema",))
    assert right(results_of(captioner, 100)) == list(range(100))
    assert late.stats["answered"] > 10
    assert captioner.session.endpoints[1].structure == "json_schema"


def test_no_server_is_one_clear_error(captioner_of: Ask) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens here, and nobody else gets the port
        captioner, _ = captioner_of(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        futures = [captioner.submit(request_of(seed)) for seed in range(20)]
        errors = [future.exception(timeout=30) for future in futures]
    assert all(isinstance(error, CaptionerError) for error in errors)
    assert "does not answer" in str(errors[0])
    assert "Start the server, or correct --endpoint" in str(errors[0])


def test_a_bug_while_a_server_is_tried_out_ends_the_run(
    serve: Serve, captioner_of: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Probe, endpoint: Endpoint, *, again: bool) -> None:
        raise ZeroDivisionError(endpoint.url)

    monkeypatch.setattr(Probe, "__call__", fail)
    captioner, _ = captioner_of(serve())
    with pytest.raises(CaptionerError, match=r"because of a bug in RegionCap: ZeroDivisionError.*Please report it"):
        captioner.submit(request_of(1)).result(timeout=60)


def test_a_server_that_stays_dead_ends_the_run(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server, max_in_flight=4, policy=RetryPolicy(patience=1.0))
    warm_up(captioner)
    server.stop()
    error = captioner.submit(request_of(9)).exception(timeout=60)
    assert isinstance(error, CaptionerError)
    assert "has answered nothing for" in str(error)
    with pytest.raises(CaptionerError):
        captioner.submit(request_of(10)).result(timeout=60)


def test_errors_alone_end_the_run(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server, max_in_flight=8, policy=RetryPolicy(patience=0.5))
    warm_up(captioner)
    server.change(faults={"500": 1.0})
    futures = [captioner.submit(request_of(seed)) for seed in range(60)]
    stopped = [future for future in futures if isinstance(future.exception(timeout=60), CaptionerError)]
    assert stopped
    assert "500: Internal Server Error" in str(stopped[0].exception())


SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a stream": ({"script": lambda body: ScriptedResponse("data: {}\n\n")}, {}, "comes only as a stream.*with --model"),
    "wrong model": ({"model": "other"}, {}, "knows no model 'fake-vlm'.*It lists: other"),
    "no key": ({"key": "sk-right"}, {}, "refused the key.*REGIONCAP_API_KEY"),
    "too long": ({"max_model_len": 1000}, {}, "maximum context length is 1000.*max_pixels=40,000.*max_tokens=2,048"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_what_every_request_would_meet_is_reported_before_the_first(serve: Serve, captioner_of: Ask, case: str) -> None:
    behaviour, settings, words = SETTINGS[case]
    server = serve(**behaviour)
    captioner, _ = captioner_of(server, **settings)
    with pytest.raises(CaptionerError, match=words):
        captioner.submit(request_of(1)).result(timeout=60)
    assert server.stats["answered"] <= TRIAL - 1  # the questions about forms, at most


def test_the_key_is_sent_and_never_shown(serve: Serve, captioner_of: Ask) -> None:
    server = serve(key="sk-right-0123456789")
    captioner, _ = captioner_of(server, key="sk-right-0123456789")
    assert right(results_of(captioner, 2)) == [0, 1]
    assert "sk-right" not in repr(captioner.session.endpoints)
    wrong, _ = captioner_of(server, key="secret-without-prefix")
    error = wrong.submit(request_of(1)).exception(timeout=60)
    assert "refused the key" in str(error)
    assert "secret-without-prefix" not in str(error) + repr(error)


def test_structure_is_found_out_once_for_each_server(serve: Serve, captioner_of: Ask) -> None:
    servers = [serve(structure=("regex",)), serve(structure=("json_schema",)), serve(structure=())]
    captioner, _ = captioner_of(*servers, max_in_flight=6)
    assert right(results_of(captioner, 30)) == list(range(30))
    assert [endpoint.structure for endpoint in captioner.session.endpoints] == ["regex", "json_schema", "none"]


def test_the_url_may_lack_its_v1(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server.url.removesuffix("/v1"))
    assert right(results_of(captioner, 1)) == [0]


def test_max_requests_stops_when_what_is_under_way_has_come_back(serve: Serve, captioner_of: Ask) -> None:
    server = serve(slots=4, latency=0.05)
    captioner, _ = captioner_of(server, max_in_flight=4, max_requests=22)
    futures = [captioner.submit(request_of(seed)) for seed in range(60)]
    errors = [future.exception(timeout=60) for future in futures]
    assert server.stats["requests"] == server.stats["answered"] == 22
    assert sum(error is None for error in errors) == 21  # the largest picture counts
    assert all(error is None or isinstance(error, BudgetReached) for error in errors)


def test_max_usd_stops_near_the_price(serve: Serve, captioner_of: Ask) -> None:
    server = serve(slots=4)
    prices = {"usd_per_m_in": 10.0, "usd_per_m_out": 40.0}
    captioner, _ = captioner_of(server, max_in_flight=4, max_usd=0.05, **prices)
    futures = [captioner.submit(request_of(seed)) for seed in range(60)]
    errors = [future.exception(timeout=60) for future in futures]
    assert any(isinstance(error, BudgetReached) for error in errors)
    assert 0.03 < captioner.session.budget.usd <= 0.055


@pytest.mark.parametrize("way", ["budget", "closed", "stop_sending"])
def test_what_came_is_kept_however_the_session_ends(serve: Serve, captioner_of: Ask, way: str) -> None:
    """Answers that came while the store was slow were paid for: they are kept before the session is over."""
    room, kept = threading.Event(), []

    def keep(result: CaptionResult) -> None:
        room.wait(60)
        kept.append(result)

    server = serve(slots=16)
    captioner, bill = captioner_of(server, max_in_flight=16, **({"max_requests": 33} if way == "budget" else {}))
    futures = [captioner.submit(request_of(seed, keep=keep)) for seed in range(48)]
    until(lambda: bill.counts.finish_reasons.get("stop", 0) >= 32 + (1 if way == "budget" else TRIAL), every=0.01)
    if way == "stop_sending":
        captioner.stop_sending()
    if way == "budget":
        assert isinstance(futures[-1].exception(timeout=60), BudgetReached)
    closing = threading.Thread(target=captioner.close)
    closing.start()
    assert isinstance(futures[-1].exception(timeout=60), BudgetReached if way == "budget" else Stopped)
    room.set()
    closing.join(60)
    assert not closing.is_alive()
    # What was not yet answered when the session was closed is given up; what tried the server out is no row's.
    assert len(kept) >= 32
    assert len(kept) <= server.stats["answered"] - 1


def test_after_stop_sending_nothing_is_sent_and_responses_are_kept(serve: Serve, captioner_of: Ask) -> None:
    server = serve(slots=4, latency=0.3)
    captioner, _ = captioner_of(server, max_in_flight=4)
    warm_up(captioner)
    before = server.stats["requests"]
    futures = [captioner.submit(request_of(seed)) for seed in range(40)]
    until(lambda: server.stats["requests"] - before == 4, every=0.01)
    captioner.stop_sending()
    errors = [future.exception(timeout=60) for future in futures]
    assert sum(error is None for error in errors) == server.stats["requests"] - before == 4
    assert all(error is None or isinstance(error, Stopped) for error in errors)


def test_focal_asks_one_region_at_a_time_with_a_closer_view(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server, prompt_mode="focal")
    warm_up(captioner)
    bodies = server.record()
    result = captioner.submit(request_of(2)).result(timeout=60)
    assert sorted(result.captions) == [1, 2, 3]
    assert [len(images_of(body)) for body in bodies] == [2, 2, 2]
    assert len({images_of(body)[0] for body in bodies}) == 1  # the marked picture
    assert len({images_of(body)[1] for body in bodies}) == 3  # each its own closer view
    assert result.usage["requests"] == 3


def test_auto_asks_the_missing_ones_closer(serve: Serve, captioner_of: Ask) -> None:
    server = serve(structure=())
    captioner, _ = captioner_of(server, prompt_mode="auto")
    warm_up(captioner)
    bodies = server.record()
    server.change(faults={"missing": 1.0})
    result = captioner.submit(request_of(2)).result(timeout=60)
    assert [len(images_of(body)) for body in bodies] == [1, 2, 2]
    assert result.captions == captions_for(2, 1, 3)


def test_closing_gives_up_what_is_under_way(serve: Serve, captioner_of: Ask) -> None:
    server = serve(faults={})
    captioner, _ = captioner_of(server, max_in_flight=2)
    warm_up(captioner)
    server.change(faults={"hang": 1.0})
    futures = [captioner.submit(request_of(seed)) for seed in range(10)]
    assert "caption-session" in thread_names()
    captioner.close()
    captioner.close()
    assert all(isinstance(future.exception(timeout=10), Stopped) for future in futures)
    assert isinstance(captioner.submit(request_of(1)).exception(timeout=10), Stopped)
    assert "caption-session" not in thread_names()


def test_a_request_without_its_picture_is_impossible(serve: Serve, captioner_of: Ask) -> None:
    server = serve()
    captioner, _ = captioner_of(server)
    warm_up(captioner)
    before = server.stats["requests"]
    with pytest.raises(ValueError, match="without its picture"):
        captioner.submit(replace(request_of(1), marked=lambda: b"")).result(timeout=60)
    assert server.stats["requests"] == before


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def texts(body: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text")
