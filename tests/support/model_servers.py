"""What is asked of fake model servers, and what they answer."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from regioncap.captioners.base import CaptionRequest, CaptionResult
from regioncap.captioners.fake.behaviour import Script
from regioncap.captioners.fake_server import RunningServer, ScriptedResponse, caption_of, digest_of
from regioncap.captioners.vlm import OpenAICaptioner
from regioncap.records import Counts

Serve = Callable[..., RunningServer]
"""`serve(**behaviour)`: a running fake server, a fixture."""


TRIAL = 3
"""Requests that try a server out which takes every form: the largest one, and a question for each other form."""


class Bill:
    """Counts what a captioner says that it spent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts = Counts()

    def __call__(self, counts: Counts) -> None:
        with self._lock:
            self.counts.add(counts)


Ask = Callable[..., tuple[OpenAICaptioner, Bill]]
"""`captioner_of(*servers, **settings)`: a captioner and its bill, a fixture."""


def jpeg_of(seed: int) -> bytes:
    """A small JPEG, another for every seed."""
    image = np.full((48, 64, 3), 90, np.uint8)
    cv2.putText(image, str(seed), (2, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
    image[0, :, 0] = np.random.default_rng(seed).integers(0, 255, 64)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def request_of(seed: int, regions: int = 3, wanted: tuple[int, ...] | None = None, **more: Any) -> CaptionRequest:
    """A request for a picture of its own."""
    jpeg = jpeg_of(seed)
    return CaptionRequest(
        name=f"photo{seed}.jpg",
        image=lambda: jpeg,
        marked=lambda: jpeg,
        width=64,
        height=48,
        bbox=[[4 * n, 4, 12, 20] for n in range(regions)],
        wanted=wanted or tuple(range(1, regions + 1)),
        **more,
    )


def captions_for(seed: int, *numbers: int) -> dict[int, str]:
    """What the fake server says of these regions of picture `seed`."""
    return {number: caption_of((digest_of(jpeg_of(seed)),), number) for number in numbers}


def results_of(captioner: OpenAICaptioner, count: int, regions: int = 3, first: int = 0) -> list[CaptionResult]:
    """The results for `count` pictures from number `first`, all asked for at once."""
    futures = [captioner.submit(request_of(seed, regions)) for seed in range(first, first + count)]
    return [future.result(timeout=120) for future in futures]


def images_of(body: Mapping[str, Any]) -> list[str]:
    """The pictures of a request, as data URLs."""
    parts = body["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def script_for(seed: int, response: ScriptedResponse) -> Script:
    """A script: `response` to every request about picture `seed`."""
    picture = base64.b64encode(jpeg_of(seed)).decode()
    return lambda body: response if any(picture in url for url in images_of(body)) else None


def warm_up(captioner: OpenAICaptioner) -> None:
    """Have the server tried out, and a picture asked for that no test asks for."""
    assert captioner.submit(request_of(9_999, 1)).result(timeout=60).code is None
