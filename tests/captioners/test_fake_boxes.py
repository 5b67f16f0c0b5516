"""The fake server where it is asked for boxes: it finds known ones, in the form and the coordinates asked of it."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.captioners.chat import messages_of
from regioncap.captioners.fake.box_forms import BOX_FORMS, DOUBTFUL
from regioncap.captioners.fake_server import PERSONAS, Boxes, RunningServer, digest_of
from regioncap.captioners.reading.found_boxes import read_found
from regioncap.config.coordinates import QWEN_25, Coordinates
from tests.captioners.test_fake_server import post, text_of
from tests.support.model_servers import Serve, jpeg_of

JPEG, WH = jpeg_of(1), (64, 48)
PIXELS, TURNED = Coordinates("px"), Coordinates("0-1000", y_first=True)
QUESTION = 'Find {find} in the image. Answer with a JSON list: {{"{key}": {form}, "label": "what it is"}}.'


def ask(server: RunningServer, coordinates: Coordinates, find: str = "dog, tree", key: str = "bbox_2d") -> str:
    text = QUESTION.format(find=find, key=key, form=coordinates.form)
    return text_of(post(server.url, messages=messages_of([JPEG], text), max_tokens=2000))


def places() -> list[tuple[float, ...]]:
    return [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in Boxes().places(digest_of(JPEG), WH)]


@pytest.mark.parametrize("coordinates", [PIXELS, TURNED, Coordinates("0-1")])
@pytest.mark.parametrize("form", [form for form in BOX_FORMS if form != "paligemma"])
def test_it_finds_known_boxes(serve: Serve, form: str, coordinates: Coordinates) -> None:
    server = serve(boxes=Boxes(form))
    found = read_found(ask(server, coordinates), WH, WH, coordinates)
    assert [region.box for region in found.regions] == places()
    assert [region.label for region in found.regions] == ["dog", "tree", "dog", "tree"][: len(places())]
    assert (server.stats["for_boxes"], server.stats["for_regions"]) == (1, 0)
    assert ask(server, coordinates) == ask(server, coordinates)
    assert len(server.repeats) == 2  # it is no trial


def test_a_model_of_a_known_family_keeps_to_its_own_coordinates(serve: Serve) -> None:
    text = ask(serve(boxes=Boxes(coordinates=Coordinates("px", resize=QWEN_25))), TURNED)
    found = read_found(text, WH, WH, Coordinates("px", resize=QWEN_25))
    for region, place in zip(found.regions, places(), strict=True):
        assert region.box == pytest.approx(place, abs=1)  # the model sees 56x56 pixels, which are fewer
    family = Boxes().finds("a", WH, QUESTION, "Gemini-2.5-flash")
    assert all(find.y_first and find.scale_wh == (1000, 1000) for find in family)


@pytest.mark.parametrize("form", DOUBTFUL)
def test_what_it_says_otherwise_is_no_box(serve: Serve, form: str) -> None:
    server = serve(boxes=Boxes(form))
    text = QUESTION.format(find="dog", key="bbox_2d", form=PIXELS.form)
    answer = post(server.url, messages=messages_of([JPEG], text), max_tokens=2000)
    cut = answer["choices"][0]["finish_reason"] == "length"
    assert cut == (form == "cut")
    assert read_found(text_of(answer), WH, WH, PIXELS, cut=cut).regions == ()


@pytest.mark.parametrize(
    "text",
    [
        "Describe each region, given as [x1, y1, x2, y2] in pixels: <region1> [1, 2, 3, 4].\n<region1>: …",
        'The box [x1, y1, x2, y2] in pixels is [1, 2, 3, 4]. Answer with JSON: {"region1": "…"}',
        "What is in this picture?",
    ],
)
def test_a_question_for_captions_is_none_for_boxes(serve: Serve, text: str) -> None:
    server = serve(boxes=Boxes("prose"))
    assert "left of the middle" not in text_of(post(server.url, messages=messages_of([JPEG], text)))
    assert server.stats["for_boxes"] == 0


@pytest.mark.parametrize("persona", ["vllm-thinking", "gpt-oss", "glm", "gemma", "chatty", "openai-reasoning"])
def test_personas_answer_in_their_ways(serve: Serve, persona: str) -> None:
    server = serve(persona=PERSONAS[persona])
    fields: dict[str, Any] = {"max_tokens": 2000} if persona != "openai-reasoning" else {"max_completion_tokens": 2000}
    text = QUESTION.format(find="every object", key="bbox_2d", form=TURNED.form)
    answer = text_of(post(server.url, messages=messages_of([JPEG], text), **fields))
    found = read_found(answer, WH, WH, TURNED)
    assert [region.box for region in found.regions] == places()
    assert {region.label for region in found.regions} <= {"dog", "bicycle", "red cup", "lamp"}
