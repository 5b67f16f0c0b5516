# ruff: noqa: RUF001 - signs of other scripts are meant here.
"""Flags: what is said against captions, counted, written beside them, and cured."""

from __future__ import annotations

from pathlib import Path

import pytest

import regioncap.output.caption_flags
from regioncap.captioners.mark_mentions import mentions_mark
from regioncap.output.caption_flags import FLAGS, MEANINGS, flags_of, refuses, repeats
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

MARKS = [
    "A green rectangle with the number 3.",
    "The region marked with a red box shows a dog.",
    "A dog outlined in red.",
    "<region2> a dog",
    "Region 3 contains a cat.",
    "The bounding box shows a cat.",
    "a yellow box labeled 2 around a bird",
    "The person in the red box is smiling.",
    "the area highlighted with a blue outline",
    "A cat inside the green rectangle.",
    "The numbered box contains a car.",
    "The object labeled 5 is a cup.",
    "红色矩形框，数字3",
    "绿色框内有一只狗。",
    "区域2显示一只猫。",
    "赤い枠で囲まれた犬。",
    "領域3には猫がいる。",
    "빨간색 사각형 안에 있는 개.",
    "영역 2는 고양이입니다.",
    "Ein rotes Rechteck mit der Nummer 3.",
    "Der rot umrandete Hund.",
    "Bereich 2 zeigt eine Katze.",
    "Un rectangle vert avec le numéro 3.",
    "Le chien encadré en rouge.",
    "Un recuadro rojo con el número 3.",
    "La persona resaltada en azul.",
]
NO_MARKS = [
    "A green box of tea on a shelf.",
    "A red box with a ribbon.",
    "A player with the number 3 on his jersey.",
    "A picture in a black frame.",
    "A wooden door framed by ivy.",
    "The region around the lake is green.",
    "A bus number 12 on its way.",
    "A square with 3 trees.",
    "A road marked with white lines.",
    "A man in a red shirt sits in the box office.",
    "A red car surrounded by a white fence.",
    "A clock with roman numerals.",
    "一个红色的盒子放在桌上。",
    "墙上的黑色相框。",
    "3号公交车。",
    "赤い箱の上の猫。",
    "빨간 상자 위의 고양이.",
    "Ein Bild in einem schwarzen Rahmen.",
    "Haus Nummer 3.",
    "Un tableau dans un cadre noir.",
    "Une zone 30 en ville.",
    "Una caja roja sobre la mesa.",
    "Un cartel del Área 51.",
]


@pytest.mark.parametrize("caption", MARKS)
def test_captions_that_mention_the_marks(caption: str) -> None:
    assert mentions_mark(caption)


@pytest.mark.parametrize("caption", NO_MARKS)
def test_captions_of_boxes_and_numbers_in_the_picture(caption: str) -> None:
    assert not mentions_mark(caption)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("As an AI language model I see nothing.", True),
        ("The text cannot be determined.", True),
        ("Please provide the image.", True),
        ("A person who cannot swim.", False),
        ("A sorry-looking dog.", False),
        ("A sign that says: please close the gate", False),
    ],
)
def test_refusals(caption: str, expected: bool) -> None:
    assert refuses(caption) == expected


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("the the the the", True),
        ("a dog and a cat and a cat and a cat and a cat", True),
        ("It is a tall tree. It is a tall tree. It is a tall tree.", True),
        ("哈" * 20, True),
        ("A very, very big dog", False),
        ("red and white and red and white stripes", False),
        ("", False),
    ],
)
def test_repetitions(caption: str, expected: bool) -> None:
    assert repeats(caption) == expected


def test_flags_of_a_row_are_parallel_to_its_captions() -> None:
    assert flags_of([]) == []
    assert flags_of(["A dog on a lawn.", "a dog, on a LAWN", "A dog.", "一只棕色的狗"]) == [
        ["duplicate_in_row"],
        ["duplicate_in_row"],
        ["too_short"],
        [],
    ]
    assert set(MEANINGS) == set(FLAGS)


def test_a_hundred_thousand_characters_are_flagged_like_a_few() -> None:
    # A rule that takes quadratic time would be at it for hours.
    texts = ["box with ", "i cannot ", "1 2 3 ", "<region"]
    assert flags_of([text * 15_000 for text in texts]) == flags_of([text * 15 for text in texts])


# --- in a run


def test_flags_are_written_and_counted_and_rows_without_stay_as_they_were(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {0: "A dog.", 1: "I'm sorry, but I can't say."}
    plain = "A plain grey wall behind a table."
    monkeypatch.setattr("regioncap.captioners.pixels.describe", lambda picture, box, *size: said.get(box[0], plain))
    write_rows(project / "photos.jsonl", [{"image": f"photo{n}.png", "bbox": [[n, *BOX[1:]]]} for n in range(5)])
    summary = run(project)
    metas = [row["meta_info"] for row in read_rows(project / "out.jsonl")]
    assert [meta.get("flags") for meta in metas] == [[["too_short"]], [["refusal"]], None, None, None]
    assert summary.flags == {"refusal": 1, "too_short": 1}


def test_changed_rules_only_write_again(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project)
    monkeypatch.setattr("regioncap.output.join.FLAGS_VERSION", regioncap.output.caption_flags.FLAGS_VERSION + 1)
    monkeypatch.setattr("regioncap.output.join.flags_of", lambda captions: [["repeats"] for _ in captions])
    summary = run(project)
    assert summary.captions_asked == 0
    assert summary.flags == {"repeats": summary.regions}
    assert all(set(map(tuple, row["meta_info"]["flags"])) == {("repeats",)} for row in read_rows(project / "out.jsonl"))


def test_parts_count_flags_too(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regioncap.captioners.pixels.describe", lambda *args: "A dog.")
    write_photo(project / "photo0.png", 0)
    summary = run(project, output=f"{project}/out/", max_boxes=1)
    assert summary.flags == {"too_short": summary.regions}
