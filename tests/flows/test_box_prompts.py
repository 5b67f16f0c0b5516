"""Prompts that give the regions' boxes: what is asked and seen, what is paid, and what is read out of an answer."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer, ScriptedResponse
from regioncap.records import Row
from regioncap.vision.images import decode
from tests.support.model_servers import images_of
from tests.support.photos import draw_photo
from tests.support.rows import read_rows, write_rows
from tests.support.runs import Run

SIZE = (200, 100)
BOXES = [[20, 10, 100, 50], [150, 50, 80, 80]]
"""The second reaches beyond the picture."""

GIVEN = {
    "px": ["[20, 10, 120, 60]", "[150, 50, 200, 100]"],
    "0-1": ["[0.1, 0.1, 0.6, 0.6]", "[0.75, 0.5, 1.0, 1.0]"],
    "0-1000-yxyx": ["[100, 100, 600, 600]", "[500, 750, 1000, 1000]"],
}


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.01, slots=8)) as running:
        yield running


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    done, data = cv2.imencode(".png", draw_photo(0, *SIZE))
    assert done
    (tmp_path / "photo.png").write_bytes(data.tobytes())
    write_rows(tmp_path / "photos.jsonl", [{"image": "photo.png", "bbox": BOXES}])
    return tmp_path


def settings(server: RunningServer, **more: Any) -> dict[str, Any]:
    return {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url], **more}


def asked_about(bodies: list[Row]) -> list[Row]:
    """Those requests that concern the row: the trial's pictures have other sizes."""
    return [body for body in bodies if [picture.shape[:2] for picture in pictures(body)][:1] == [SIZE[::-1]]]


def pictures(body: Row) -> list[Any]:
    files = [base64.b64decode(url.partition(",")[2]) for url in images_of(body)]
    return [decode(file, max_image_pixels=10_000_000) for file in files]


def test_without_marks_the_model_sees_the_photo_itself(photos: Path, run: Run, server: RunningServer) -> None:
    bodies = server.record()
    run(photos, **settings(server, prompt_mode="coords", coordinates="px"))
    photo = decode((photos / "photo.png").read_bytes(), max_image_pixels=1_000_000)
    (body,) = asked_about(bodies)
    (seen,) = pictures(body)
    assert np.abs(seen.astype(int) - photo.astype(int)).mean() < 6
    run(photos, **settings(server, prompt_mode="marks+coords", coordinates="px", file_name_prefix="marked"))
    (seen,) = pictures(asked_about(bodies)[-1])
    assert np.abs(seen.astype(int) - photo.astype(int)).mean() > 6


def test_the_prompt_gives_every_box(photos: Path, run: Run, server: RunningServer) -> None:
    bodies = server.record()
    for asked, (name, (first, second)) in enumerate(GIVEN.items(), start=1):
        summary = run(photos, **settings(server, prompt_mode="coords", coordinates=name))
        (row,) = read_rows(photos / "out.jsonl")
        assert row["meta_info"]["prompt"].endswith(f"There are 2 regions: <region1> {first}, <region2> {second}.")
        assert row["meta_info"]["bbox"] == BOXES
        assert (summary.rows_out, len(asked_about(bodies))) == (1, asked)  # boxes in other numbers: another question
    run(photos, **settings(server, prompt_mode="coords", coordinates="px"))
    assert len(asked_about(bodies)) == len(GIVEN)  # what was answered is not asked again


def test_boxes_in_ones_own_prompt(photos: Path, run: Run, server: RunningServer) -> None:
    prompt = {"prompt": "{num_regions} boxes ({box_form}): {regions}", "region_prompt": "{n} is at {box}"}
    run(photos, **settings(server, coordinates="0-1000", **prompt))
    (row,) = read_rows(photos / "out.jsonl")
    assert row["meta_info"]["prompt"] == (
        "2 boxes ([x1, y1, x2, y2] on a scale from 0 to 1000): "
        "1 is at [100, 100, 600, 600], 2 is at [750, 500, 1000, 1000]"
    )


def test_a_box_that_the_model_repeats_is_not_in_the_caption(photos: Path, run: Run, server: RunningServer) -> None:
    first, second = GIVEN["px"]
    answer = f"<region1> {first}: a cat\n<region2>: {second} a dog"
    message = {"message": {"content": answer}, "finish_reason": "stop"}
    server.change(
        script=lambda body: ScriptedResponse({"choices": [message], "usage": {}}) if asked_about([body]) else None
    )
    run(photos, **settings(server, prompt_mode="coords", coordinates="px"))
    (row,) = read_rows(photos / "out.jsonl")
    assert row["mdvp_record"] == ["<region1> a cat", "<region2> a dog"]


def test_a_closer_view_names_its_box(photos: Path, run: Run, server: RunningServer) -> None:
    server.change(caption=lambda pictures, number: "a cat" if len(pictures) == 1 else f"a cat with {number} bells")
    bodies = server.record()
    run(photos, **settings(server, prompt_mode="coords", coordinates="px", repair_flags="duplicate_in_row"))
    closer = [body for body in asked_about(bodies) if len(images_of(body)) == 2]
    texts = ["".join(part.get("text", "") for part in body["messages"][-1]["content"]) for body in closer]
    assert any(f"<region2> {GIVEN['px'][1]}, given as [x1, y1, x2, y2] in pixels" in text for text in texts)
