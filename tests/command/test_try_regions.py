"""`regioncap try --show regions`: what each finder finds, in one picture and in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from regioncap.captioners.fake.boxes import Boxes
from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.try_regions import COLUMN_WIDTH
from regioncap.registry import EXTRACTORS
from tests.support.commands import Ended, call
from tests.support.own_plugins import write_project
from tests.support.photos import draw_photo, write_photo
from tests.support.rows import BOX, write_rows

ORIENTATION = 0x0112


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.0)) as running:
        yield running


def show(capsys: pytest.CaptureFixture[str], *flags: str) -> Ended:
    return call(capsys, "try", "photos.jsonl", "--show", "regions", *flags)


def asking(server: RunningServer) -> tuple[str, ...]:
    endpoint = ("--endpoint", server.url, "--model", "fake-vlm")
    return ("--extractor", "vlm", "--find", "dog, cat", "--find-coordinates", "0-1000", *endpoint)


def columns_of(picture: Path) -> float:
    image = cv2.imread(str(picture))
    assert image is not None
    return float(image.shape[1] / COLUMN_WIDTH)


def found(ended: Ended) -> list[str]:
    """How each line about a finder begins: its name, and how many regions."""
    lines = [line.removeprefix("found        ") for line in ended.out.splitlines() if line.startswith("found ")]
    return [line.partition(",")[0] for line in lines]


def test_it_shows_our_finders_and_needs_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(here / "photos.jsonl", [{"image": write_photo(here / "a.png", 1).name}])
    ended = show(capsys)
    assert ended.code == 0, ended.err
    assert [title.partition(":")[0] for title in found(ended)] == list(EXTRACTORS)
    assert ended.out.endswith("picture      photos.regions.jpg\n")
    assert columns_of(here / "photos.regions.jpg") == len(EXTRACTORS)


def test_boxes_that_rows_have_stand_beside_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = write_photo(here / "a.png", 1).name
    write_rows(here / "photos.jsonl", [{"image": name}, {"image": name, "bbox": [BOX, [400, 0, 9, 9]]}])
    ended = show(capsys, "--row", "1", "--row", "2", "--row", "2", "--picture", "both.png")
    assert ended.code == 0, ended.err
    assert found(ended)[len(EXTRACTORS)] == "given: 1 region"
    assert "dropped, outside: [400, 0, 9, 9]" in ended.out
    assert columns_of(here / "both.png") == 1 + len(EXTRACTORS)  # of both rows, so that finders stand in columns


def test_a_plugin_is_shown_with_labels_and_scores(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(here, "shown_pkg")
    monkeypatch.syspath_prepend(str(here))
    ended = show(capsys, "--extractor", "shown_pkg.finders:corner")
    assert ended.code == 0, ended.err
    assert found(ended)[-1] == "shown_pkg.finders:corner: 1 region"
    assert "1: corner, 0.5" in ended.out


def test_a_model_is_asked_once(here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"image": write_photo(here / f"{number}.png", number).name} for number in range(2)]
    write_rows(here / "photos.jsonl", rows)
    for _ in range(2):
        ended = show(capsys, *asking(server), "--row", "1", "--row", "2")
        assert ended.code == 0, ended.err
        assert [title.partition(":")[0] for title in found(ended)] == [*EXTRACTORS, "vlm (fake-vlm)"] * 2
        assert "1: dog" in ended.out
    assert server.stats["for_boxes"] == 2
    assert show(capsys, *asking(server), "--find", "cow", "--row", "1", "--row", "3").code == 2  # there is no row 3
    assert server.stats["for_boxes"] == 2
    assert server.stats["for_regions"] == 0


def test_an_answer_without_a_box_is_told(here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(here / "photos.jsonl", [{"image": write_photo(here / "a.png", 1).name}])
    server.change(boxes=Boxes("sentences"))
    ended = show(capsys, *asking(server))
    assert ended.code == 0, ended.err
    assert found(ended)[-1] == "vlm (fake-vlm): none"
    assert "no_regions: the model named no region (none of its boxes can be used: in_prose)" in ended.out
    assert "The dog is at [" in ended.out


def test_pictures_without_regions_are_shown_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(here / "plain.png"), np.full((64, 96, 3), 200, np.uint8))
    write_rows(here / "photos.jsonl", [{"image": "plain.png"}])
    ended = show(capsys)
    assert ended.code == 0, ended.err
    assert found(ended) == [f"{name}: none" for name in EXTRACTORS]
    assert ended.out.count("no_regions: no region was found by") == len(EXTRACTORS)
    assert ended.out.count("the picture is plain") == 1  # canny and adaptive find nothing on others, too


def test_a_row_whose_image_is_gone_does_not_stop_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(here / "photos.jsonl", [{"image": "gone.png"}, {"image": write_photo(here / "a.png", 1).name}])
    ended = show(capsys, "--row", "1", "--row", "2")
    assert ended.code == 1
    assert "rejected     image_missing" in ended.out
    assert columns_of(here / "photos.regions.jpg") == len(EXTRACTORS)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--show", "regions", "--picture", "a.gif"], "expected a file name that ends in .jpg, .png or .webp"),
        (["--show", "regions", "--row", "99"], "--row: expected a line of the input, 1 to "),
        (["--show", "regions", *(word for n in range(1, 22) for word in ("--row", str(n)))], "at most 20 rows"),
        (["--show", "marks"], "'marks' is not"),
        (["--captioner", "pixels", "--row", "1", "--row", "2"], "--row: only --show regions takes several rows"),
        (["--captioner", "pixels", "--picture", "a.png"], "--picture: only --show regions takes it"),
    ],
)
def test_wrong_flags_are_refused(here: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str) -> None:
    ended = call(capsys, "try", "photos.jsonl", *flags)
    assert ended.code == 2
    assert words in ended.err


def test_marks_are_of_the_picture_as_displayed(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turned by a quarter
    Image.fromarray(draw_photo(1, 640, 480)).save(here / "turned.jpg", exif=exif)
    write_rows(here / "photos.jsonl", [{"image": "turned.jpg"}])
    server.change(boxes=Boxes(places=lambda digest, wh: [(0, 0, wh[0] // 2, wh[1]), (wh[0] // 2, 0, wh[0], 64)]))
    ended = show(capsys, *asking(server))
    assert "vlm (fake-vlm): 2 regions, xywh: [[0, 0, 240, 640], [240, 0, 240, 64]]" in ended.out
