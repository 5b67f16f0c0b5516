"""The fake server does what tests ask of it."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from typing import Any

import pytest

from regioncap.captioners.chat import messages_of
from regioncap.captioners.fake.faults import draw_fault
from regioncap.captioners.fake_server import ScriptedResponse, caption_of, digest_of
from tests.support.model_servers import Serve, jpeg_of


def post(url: str, **fields: Any) -> dict[str, Any]:
    """What the server answers to a request about two regions."""
    text = "Describe:\n<region1>: …\n<region2>: …"
    body = {"model": "fake-vlm", "messages": messages_of([jpeg_of(1)], text), **fields}
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_it_names_picture_and_region(serve: Serve) -> None:
    digests = (digest_of(jpeg_of(1)),)
    expected = "\n".join(f"<region{n}>: {caption_of(digests, n)}" for n in (1, 2))
    assert text_of(post(serve().url)) == expected


def test_it_says_what_it_is_told_to(serve: Serve) -> None:
    server = serve(caption=lambda pictures, number: f"Number {number} of {len(pictures)}.")
    assert text_of(post(server.url)) == "<region1>: Number 1 of 1.\n<region2>: Number 2 of 1."
    server.change(script=lambda body: ScriptedResponse({"seen": body["n"]}))
    assert post(server.url, n=3) == {"seen": 3}


def test_requests_are_recorded_from_then_on(serve: Serve) -> None:
    server = serve()
    post(server.url, n=1)
    recorded = server.record()
    post(server.url, n=2)
    post(server.url, n=3)
    assert [body["n"] for body in recorded] == [2, 3]


def test_a_number_of_answers_can_be_waited_for(serve: Serve) -> None:
    server = serve()
    first, third = server.when_answered(1), server.when_answered(3)
    post(server.url)
    assert (first.is_set(), third.is_set()) == (True, False)
    post(server.url)
    post(server.url)
    assert third.is_set()


@pytest.mark.parametrize(
    ("shares", "expected"), [({}, {"": 100}), ({"500": 0.25, "429": 0.5}, {"500": 25, "429": 50, "": 25})]
)
def test_faults_have_their_shares(shares: dict[str, float], expected: dict[str, int]) -> None:
    assert Counter(draw_fault(shares, (number + 0.5) / 100) for number in range(100)) == expected
