"""The captioner without a model: honest, deterministic, never in the way."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from regioncap.captioners.base import CaptionerOptions, CaptionRequest, CaptionResult
from regioncap.captioners.pixels import Measured, PixelsCaptioner, describe, place_words, size_words
from regioncap.config.model import RegionCapConfig


@pytest.fixture
def captioner() -> Iterator[PixelsCaptioner]:
    made = PixelsCaptioner(CaptionerOptions(RegionCapConfig(input="a.jsonl", captioner="pixels", threads=2)))
    yield made
    made.close()
    made.close()  # twice is allowed


def painted(colour_rgb: tuple[int, int, int]) -> np.ndarray:
    """A white picture of 200x100 with a square of one colour in its upper left."""
    image = np.full((100, 200, 3), 255, np.uint8)
    image[10:30, 10:30] = colour_rgb[::-1]
    return image


def ask(captioner: PixelsCaptioner, image: np.ndarray | bytes, boxes: list[list[float]], *wanted: int) -> CaptionResult:
    data = image if isinstance(image, bytes) else cv2.imencode(".png", image)[1].tobytes()
    numbers = wanted or tuple(range(1, len(boxes) + 1))
    request = CaptionRequest("a", lambda: data, lambda: b"", 200, 100, boxes, numbers)
    return captioner.submit(request).result(timeout=60)


COLOURS = {
    "red": (200, 30, 35),
    "dark blue": (20, 35, 90),
    "green": (50, 150, 60),
    "black": (5, 5, 5),
    "yellow": (245, 215, 50),
}


@pytest.mark.parametrize("name", COLOURS)
def test_says_what_is_there(captioner: PixelsCaptioner, name: str) -> None:
    (text,) = ask(captioner, painted(COLOURS[name]), [[10, 10, 20, 20]]).captions.values()
    assert text.startswith("A small area in the upper left of the picture (about 2 % of it)")
    assert f"mostly {name}," in text


def test_one_caption_a_wanted_region(captioner: PixelsCaptioner) -> None:
    boxes: list[list[float]] = [[0, 0, 50, 50], [50, 50, 50, 50], [100, 0, 90, 90]]
    result = ask(captioner, painted((0, 0, 0)), boxes, 1, 3)
    assert sorted(result.captions) == [1, 3]
    assert result.code is None
    assert ask(captioner, painted((0, 0, 0)), boxes, 1, 3) == result


ODD = [[0, 0, 1, 1], [199, 99, 1, 1], [-50, -50, 60, 60], [150, 50, 500, 500], [0.2, 0.2, 0.1, 0.1], [0, 0, 200, 100]]


@pytest.mark.parametrize("box", ODD, ids=str)
def test_boxes_of_any_kind_get_a_sentence(box: list[float]) -> None:
    text = describe(Measured.of(painted((200, 30, 35))), box, 200, 100)
    assert text[0] == "A"
    assert text.endswith(".")


def test_a_picture_that_cannot_be_read_says_why(captioner: PixelsCaptioner) -> None:
    result = ask(captioner, b"no picture", [[0, 0, 5, 5]])
    assert (result.captions, result.code) == ({}, "image_unreadable")


PLACES = {(0, 0): "the upper left", (45, 45): "the centre", (90, 45): "the right part", (45, 90): "the lower part"}


@pytest.mark.parametrize("corner", PLACES)
def test_places(corner: tuple[int, int]) -> None:
    assert place_words([*corner, 10, 10], 100, 100) == PLACES[corner]


def test_sizes_grow() -> None:
    words = [size_words(share) for share in (0.001, 0.03, 0.1, 0.4, 0.9)]
    assert words == ["tiny", "small", "medium-sized", "large", "very large"]


def test_it_names_itself(captioner: PixelsCaptioner) -> None:
    assert (captioner.name, captioner.model, captioner.paid) == ("pixels", "none", False)
    assert captioner.identity()["captioner"] == "pixels"
