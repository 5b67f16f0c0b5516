"""Runs in which a model finds the regions: asked once, read with all doubt, and captioned like others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from regioncap.captioners.fake_server import Behaviour, RunningServer, ScriptedResponse
from regioncap.errors import BudgetReached
from tests.support.finding_models import FindingModel, text_of
from tests.support.model_servers import TRIAL
from tests.support.photos import draw_photo, write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

NAME = "photos.jsonl"
ORIENTATION = 0x0112
ROWS = 4
DOG, CAT = [0, 0, 48, 32], [48, 32, 48, 32]
"""Of a photo of 96x64 pixels."""


@pytest.fixture
def model() -> FindingModel:
    return FindingModel()


@pytest.fixture
def server(model: FindingModel) -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.01, slots=8, script=model)) as running:
        yield running


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos without boxes, and a last one that has one."""
    rows: list[dict[str, Any]] = [{"image": write_photo(tmp_path / f"{n}.png", n).name} for n in range(ROWS)]
    rows[-1]["bbox"] = [BOX]
    write_rows(tmp_path / NAME, rows)
    return tmp_path


def asking(server: RunningServer, **more: Any) -> dict[str, Any]:
    """The settings of a run whose regions the server's model finds."""
    given: dict[str, Any] = {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], "extractor": "vlm"}
    return {**given, "find_coordinates": "0-1000", **more}


def test_what_a_model_finds_is_captioned(photos: Path, run: Run, server: RunningServer, model: FindingModel) -> None:
    summary = run(photos, **asking(server, find="dog, cat"))
    rows = read_rows(photos / "out.jsonl")
    assert [row["meta_info"]["bbox"] for row in rows] == [[DOG, CAT]] * (ROWS - 1) + [[BOX]]
    assert rows[0]["meta_info"]["region_fields"] == {"label": ["dog", "cat"]}
    assert len(rows[0]["mdvp_record"]) == 2
    assert len(model.questions) == ROWS - 1 == summary.regions_asked
    assert model.questions[0].startswith("Find dog, cat in the image.")
    assert summary.requests == TRIAL + (ROWS - 1) + ROWS == server.stats["requests"]


def test_labels_are_at_hand_in_prompts(photos: Path, run: Run, server: RunningServer) -> None:
    bodies = server.record()
    prompts = {"prompt": "Describe {regions}.", "region_prompt": "<region{n}>, a {label}"}
    write_rows(photos / "photos.jsonl", read_rows(photos / NAME)[:-1])
    run(photos, **asking(server, **prompts))
    asked = [text_of(body) for body in bodies]
    assert sum("Describe <region1>, a dog, <region2>, a cat." in text for text in asked) == ROWS - 1


def test_nothing_is_asked_twice(photos: Path, run: Run, server: RunningServer, model: FindingModel) -> None:
    run(photos, **asking(server))
    before = server.stats["requests"]
    run(photos, **asking(server))
    assert server.stats["requests"] == before
    run(photos, **asking(server, prompt="Say what {regions} show.", prompt_mode="focal"))
    assert len(model.questions) == ROWS - 1
    (photos / "again.jsonl").write_bytes((photos / NAME).read_bytes())
    run(photos, **asking(server, input=str(photos / "again.jsonl"), output=str(photos / "o2.jsonl"), shard_size=1))
    assert len(model.questions) == ROWS - 1


def test_where_the_model_names_nothing_the_row_is_rejected_in_its_words(
    photos: Path, run: Run, server: RunningServer, model: FindingModel
) -> None:
    model.say = lambda question, size: "I see nothing of the kind. " * 40
    summary = run(photos, **asking(server, max_reject_share=1.0))
    rejects = read_rows(photos / "out.rejects.jsonl")
    assert summary.rejects_by_code == {"no_regions": ROWS - 1}
    assert "the model named no region" in rejects[0]["message"]
    assert "it said: I see nothing of the kind." in rejects[0]["message"]
    assert len(rejects[0]["message"].partition("it said: ")[2]) <= 200
    run(photos, **asking(server, max_reject_share=1.0))
    assert len(model.questions) == ROWS - 1


def test_edges_find_the_regions_where_the_model_names_none(
    photos: Path, run: Run, server: RunningServer, model: FindingModel
) -> None:
    model.say = lambda question, size: "[]"
    summary = run(photos, **asking(server, find_fallback="edges"))
    rows = read_rows(photos / "out.jsonl")
    assert summary.rejects == 0
    assert rows[0]["meta_info"]["bbox"]
    assert "the regions are those of 'edges'" in " ".join(rows[0]["meta_info"]["warnings"])
    assert len(model.questions) == ROWS - 1


def test_boxes_that_are_no_regions_are_on_record(
    photos: Path, run: Run, server: RunningServer, model: FindingModel
) -> None:
    boxes = [[0, 0, 500, 500], [0, 0, 500, 500], [0, 0, 1000, 1000], [600, 600, 900, 900], [0, 600, 300, 900]]
    model.say = lambda question, size: json.dumps([{"bbox_2d": box, "label": "dog"} for box in boxes])
    summary = run(photos, **asking(server, max_boxes=2))
    meta = read_rows(photos / "out.jsonl")[0]["meta_info"]
    assert len(meta["bbox"]) == 2
    assert [drop["reason"] for drop in meta["dropped_bbox"]] == ["over_max_boxes", "repeated", "whole_picture"]
    assert [drop["index"] for drop in meta["dropped_bbox"]] == [2, 3, 4]
    assert meta["dropped_bbox"][1]["text"] == "[0, 0, 500, 500]"
    assert summary.boxes_dropped == dict.fromkeys(("over_max_boxes", "repeated", "whole_picture"), ROWS - 1)


def test_a_question_that_the_server_fails_is_asked_again_by_the_next_run(
    photos: Path, run: Run, server: RunningServer, model: FindingModel
) -> None:
    refused = ScriptedResponse({"error": {"message": "content policy", "code": "content_filter"}}, 400)
    Image.fromarray(draw_photo(1, width=120, height=80)[..., ::-1]).save(photos / "1.png")
    model.failures[120, 80] = refused
    summary = run(photos, **asking(server))
    assert summary.rejects_by_code == {"caption_failed": 1}
    (reject,) = read_rows(photos / "out.rejects.jsonl")
    assert reject["step"] == "extract"
    assert "asked for the picture's regions" in reject["message"]
    model.failures.clear()
    before = len(model.questions)
    assert run(photos, **asking(server)).rejects == 0
    assert model.sizes[before:] == [(120, 80)]


def test_the_rows_keys_are_in_the_question(photos: Path, run: Run, server: RunningServer, model: FindingModel) -> None:
    rows = [{**row, "tags": ["dog", "ball"] if number else []} for number, row in enumerate(read_rows(photos / NAME))]
    write_rows(photos / NAME, rows)
    run(photos, **asking(server, find="{tags}"))
    asked = sorted(question.partition(" in the image")[0] for question in model.questions)
    assert asked == ["Find dog, ball"] * (ROWS - 2) + ["Find every object that is worth a caption"]


def test_a_turned_picture_is_asked_about_and_boxed_as_displayed(
    photos: Path, run: Run, server: RunningServer, model: FindingModel
) -> None:
    turned = Image.fromarray(draw_photo(7, width=960, height=640)[..., ::-1])
    exif = turned.getexif()
    exif[ORIENTATION] = 6
    turned.save(photos / "turned.jpg", exif=exif)
    write_rows(photos / NAME, [{"image": "turned.jpg"}])
    run(photos, **asking(server, max_pixels=60_000))
    assert model.sizes == [(200, 300)]
    meta = read_rows(photos / "out.jsonl")[0]["meta_info"]
    assert (meta["width"], meta["height"]) == (640, 960)
    assert meta["bbox"] == [[0, 0, 320, 480], [320, 480, 320, 480]]


def test_another_server_finds_what_one_captions(photos: Path, run: Run, model: FindingModel) -> None:
    with (
        RunningServer(Behaviour(latency=0.01)) as captions,
        RunningServer(Behaviour(latency=0.01, model="finder", script=model)) as finds,
    ):
        own = {"find_endpoint": finds.url, "find_model": "finder"}
        summary = run(photos, **asking(captions, **own))
        bodies = finds.record()
        assert len(model.questions) == ROWS - 1
        assert summary.requests == captions.stats["requests"] + finds.stats["requests"]
        assert captions.stats["requests"] == TRIAL + ROWS
        run(photos, **asking(captions, **own, prompt="Another one."))
        assert bodies == []


def test_a_model_finds_what_no_model_captions(photos: Path, run: Run, model: FindingModel) -> None:
    with RunningServer(Behaviour(latency=0.01, script=model)) as finds:
        own = {"find_endpoint": finds.url, "find_model": "fake-vlm", "find_coordinates": "0-1000"}
        summary = run(photos, extractor="vlm", **own)
        assert summary.regions == 2 * (ROWS - 1) + 1
        assert summary.requests == finds.stats["requests"] == 1 + ROWS - 1


def test_limits_hold_for_questions_and_captions_together(
    photos: Path, run: Run, server: RunningServer, model: FindingModel
) -> None:
    for most in (TRIAL + 2, 2):
        with pytest.raises(BudgetReached):
            run(photos, **asking(server, max_requests=most, max_in_flight=1))
    assert server.stats["requests"] == TRIAL + 2 + 2
    summary = run(photos, **asking(server))
    assert summary.rejects == 0
    assert len(model.questions) == ROWS - 1
