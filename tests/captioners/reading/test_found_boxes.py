# ruff: noqa: RUF001 - dashes are meant here.
"""Answers to "where are …" as models write them: every box of theirs, in pixels, and none that is in doubt."""

from __future__ import annotations

import pytest

from regioncap.captioners.reading.found_boxes import FoundBoxes, FoundRegion, read_found
from regioncap.config.coordinates import QWEN_25, Coordinates

WH = (640, 480)
THOUSANDTHS = Coordinates("0-1000")
DOG, CAT = (64.0, 120.0, 128.0, 240.0), (320.0, 240.0, 128.0, 96.0)
"""xywh of 100, 250, 300, 750 and of 500, 500, 700, 700 thousandths."""
D, C = "100, 250, 300, 750", "500, 500, 700, 700"
TWO = [FoundRegion(DOG, "dog"), FoundRegion(CAT, "cat")]
UNNAMED = [FoundRegion(DOG), FoundRegion(CAT)]


def read(text: str, *, cut: bool = False, coordinates: Coordinates = THOUSANDTHS) -> FoundBoxes:
    return read_found(text, WH, WH, coordinates, cut=cut)


@pytest.mark.parametrize(
    ("text", "regions"),
    [
        (f'[{{"bbox_2d": [{D}], "label": "dog"}}, {{"bbox_2d": [{C}], "label": "cat"}}]', TWO),
        (f'Sure!\n```json\n[{{"box_2d": [{D}], "label": "dog"}}, {{"box_2d": [{C}], "label": "cat"}}]\n```\nBye.', TWO),
        (f'{{"bbox": [{D}], "name": "dog"}}\n{{"bbox": [{C}], "name": "cat"}}', TWO),
        (f'{{"objects": [{{"description": "dog", "box": [{D}]}}, {{"description": "cat", "box": [{C}]}}]}}', TWO),
        (f'[{{"label": "dog", "boxes": [[{D}]]}}, {{"label": "cat", "bbox_2d": ["500", "500", "700", "700"]}}]', TWO),
        (f"[{{'bbox_2d': [{D}], 'label': 'dog',}}, {{'bbox_2d': [{C}], 'label': 'cat'}},]", TWO),
        (f'[{{"bbox_2d": [{D}]}}, {{"bbox_2d": [{C}], "label": null}}]', UNNAMED),
        (
            '[{"box": {"x1": 100, "y1": 250, "x2": 300, "y2": 750}, "label": "dog"},'
            '{"xmin": 500, "ymin": 500, "xmax": 700, "ymax": 700, "label": "cat"}]',
            TWO,
        ),
        (f'{{"thinking": [{{"bbox_2d": [1, 2, 3, 4]}}], "boxes": [{{"label": "dog", "box": [{D}]}}]}}', TWO[:1]),
        (
            "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(100,250),(300,750)<|box_end|>"
            "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(500,500),(700,700)<|box_end|><|im_end|>",
            TWO,
        ),
        ("<ref>dog</ref><box>(100,250),(300,750)</box><ref>cat</ref><box>(500,500),(700,700)</box>", TWO),
        (f"<ref>dog</ref><box>[[{D}]]</box>\n<ref>cat</ref><box>[[{C}]]</box>", TWO),
        (f"<ref>animal</ref><box>[[{D}], [{C}]]</box>", [FoundRegion(DOG, "animal"), FoundRegion(CAT, "animal")]),
        (f"<|ref|>dog<|/ref|><|det|>[[{D}]]<|/det|>\n<|ref|>cat<|/ref|><|det|>[[{C}]]<|/det|>", TWO),
        ("<box>100 250 300 750</box><box>500 500 700 700</box>", UNNAMED),
        (f"dog<box>[{D}]</box>\n- **cat**: <box>[{C}]</box>", TWO),
        (f"The dog is there: <box>[{D}]</box>, isn't it?", UNNAMED[:1]),
        (f"The dog <box>[{D}]</box> sees a cat <box>[{C}]</box> far off.", UNNAMED),
        (f"dog <box>[{D}]</box>, cat <box>[{C}]</box>", TWO),
        (f'Dogs:\n[{{"box": [{D}], "label": "dog"}}]\nCats:\n```json\n[{{"box": [{C}], "label": "cat"}}]\n```', TWO),
        (f"dog: [{D}]\ncat: [{C}]", TWO),
        (f"Here are the boxes:\n\n1. **dog** – [{D}]\n2. **cat** – [{C}]\n\nLet me know if you need more!", TWO),
        ("dog(100,250),(300,750)\ncat(500,500),(700,700)", TWO),
        ("dog(100,250),(300,750)cat(500,500),(700,700)", TWO),
        (f"dog [[{D}]], cat [[{C}]]", TWO),
        (f"dog [{D}]; cat [{C}]", TWO),
        (f"dog[[{D}]]cat[[{C}]]", TWO),
        (f"[[{D}], [{C}]]", UNNAMED),
        (f"```json\n[\n  [{D}],\n  [{C}]\n]\n```", UNNAMED),
        (f"<|begin_of_box|>[[{D}]]<|end_of_box|>", UNNAMED[:1]),
        (f"Bounding box: [{D}]", UNNAMED[:1]),
        (f"<think>dog: [1, 2, 3, 4]? No.</think>dog: [{D}]", TWO[:1]),
        (f'<think>[{{"bbox_2d": [{C}], "label": "cat"}}]</think>[]', []),
        ("[]", []),
        ('```json\n{"objects": []}\n```', []),
        ("None.", []),
    ],
)
def test_forms(text: str, regions: list[FoundRegion]) -> None:
    found = read(text)
    assert (list(found.regions), found.dropped, found.problem) == (regions, (), "")


def test_tokens_of_paligemma_have_a_scale_of_their_own() -> None:
    found = read("<loc0256><loc0128><loc0768><loc0512> dog ; <loc0512><loc0512><loc1023><loc1023> cat<eos>")
    assert [(region.box, region.label) for region in found.regions] == [
        ((80, 120, 240, 240), "dog"),
        ((320, 240, 319.375, 239.53125), "cat"),
    ]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ('"bbox_2d": [100, 250, 300], "label": "dog"', "not_four_numbers"),
        ('"bbox_2d": [100, 250, 300, 750, 1], "label": "dog"', "not_four_numbers"),
        ('"bbox_2d": [100, 250, 300, "75%"], "label": "dog"', "not_four_numbers"),
        ('"bbox_2d": ["x1", "y1", "x2", "y2"], "label": "dog"', "not_four_numbers"),
        ('"bbox_2d": [100, 250, null, 750], "label": "dog"', "not_four_numbers"),
        ('"bbox_2d": [[100, 250], [300, 750]], "label": "dog"', "not_four_numbers"),
        ('"bbox_2d": [NaN, 250, 300, 750], "label": "dog"', "not_finite"),
        ('"bbox_2d": [100, 250, 300, -Infinity], "label": "dog"', "not_finite"),
        ('"bbox_2d": [300, 250, 100, 750], "label": "dog"', "reversed"),
        ('"bbox_2d": [100, 750, 300, 250], "label": "dog"', "reversed"),
        ('"bbox_2d": [100, 250, 100, 750], "label": "dog"', "no_area"),
        ('"bbox_2d": [1100, 250, 1300, 750], "label": "dog"', "outside"),
        ('"bbox_2d": [-90, 250, -10, 750], "label": "dog"', "outside"),
        ('"bbox_2d": [100, 250, 300, 1100], "label": "dog"', "wrong_unit"),
        ('"bbox_2d": [-200, 250, 300, 750], "label": "dog"', "wrong_unit"),
        ('"bbox_2d": [0.1, 0.25, 0.3, 0.75], "label": "dog"', "wrong_unit"),
        ('"bbox_2d": [0, 0, 1000, 1000], "label": "dog"', "whole_picture"),
        ('"bbox_2d": [10, 0, 1000, 990], "label": "dog"', "whole_picture"),
        ('"bbox_2d": [100, 250, 300, 750], "label": 7', "bad_label"),
        ('"bbox_2d": [100, 250, 300, 750], "label": "7"', "bad_label"),
        ('"bbox_2d": [100, 250, 300, 750], "label": ["dog"]', "bad_label"),
        ('"bbox_2d": [100, 250, 300, 750], "label": "<region2>: a dog"', "bad_label"),
        (f'"bbox_2d": [100, 250, 300, 750], "label": "{"dog " * 60}"', "bad_label"),
        ('"bbox_2d": [100, 250, 300, 750], "bbox": [100, 250, 200, 500]', "ambiguous"),
        ('"bbox_2d": [100, 250, 300, 750], "bbox_2d": [100, 250, 300, 751]', "ambiguous"),
        ('"bbox": [100, 250, 300, 750], "x": 100, "y": 250, "w": 200, "h": 500', "ambiguous"),
        ('"bbox": [100, 250, 300, 750], "x1": 100, "y1": 250, "x2": 300, "y2": 750', "ambiguous"),
        ('"bbox": [100, 250, 300, 750], "category_id": 18, "area": 90', "ambiguous"),
        ('"box": {"x": 100, "y": 250, "width": 300, "height": 750}, "label": "dog"', "not_four_numbers"),
        ('"bbox_2d": [500, 500, 700, 701], "label": "kitten"', "repeated"),
        ('"bbox_2d": [500, 500, 680, 650], "label": "Cat"', ""),
        ('"bbox_2d": [500, 500, 700, 650], "label": "Cat"', "overlapping"),
        ('"bbox_2d": [500, 500, 700, 650], "label": "scarf"', ""),
    ],
)
def test_a_box_in_doubt_is_dropped_and_the_others_stay(box: str, reason: str) -> None:
    found = read(f'[{{"bbox_2d": [{C}], "label": "cat"}}, {{"bbox_2d": [0, 0, 90, 90]}}, {{{box}}}]')
    assert {dropped.reason for dropped in found.dropped} == ({reason} if reason else set())
    assert len(found.regions) == (2 if reason else 3)
    assert found.regions[0] == TWO[1]


@pytest.mark.parametrize(
    "text",
    [
        f"The dog is at [{D}].",
        f"A box has the form [{D}].",
        f"Around the dog in front [{D}]",
        f"Hello!\n[{D}]\nGood day.",
        f"- bbox_2d: [{D}]\n  label: dog",
    ],
)
def test_a_box_in_prose_is_none(text: str) -> None:
    found = read(text)
    assert found.regions == ()
    assert [dropped.reason for dropped in found.dropped] == ["in_prose"]
    assert found.problem == "none of its boxes can be used: in_prose"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no answer in it"),
        (f"<think>dog: [{D}]", "its reasoning never ended"),
        ("I'm sorry, I can't see the picture.", "it refuses"),
        ("There are two dogs on the left.", "there is no box in it in a form that is understood"),
        (
            f'<box>[[{D}]]</box> or [{{"bbox_2d": [{C}]}}]',
            "it has boxes in several places, of which some may be drafts",
        ),
        (
            f'It looks like [{{"bbox_2d": [{C}]}}] to me. Looking closer, it is [{{"bbox_2d": [{D}]}}].',
            "it has boxes in several places, of which some may be drafts",
        ),
        (f'{{"dog": [{D}]}}', "there is no box in it in a form that is understood"),
        (f'{{\n"dog": [{D}],\n"cat": [{C}]\n}}', "there is no box in it in a form that is understood"),
        (f'[{{"bbox_2d": [{C}]}}]\nWait, that is wrong:\n[{{"bbox_2d": [{D}]}}]', "it corrects itself"),
    ],
)
def test_what_gives_nothing_says_why(text: str, problem: str) -> None:
    assert read(text) == FoundBoxes(problem=problem)


def test_nothing_counts_where_most_numbers_contradict_the_coordinates() -> None:
    text = '[{"bbox": [10, 10, 90, 90]}, {"bbox": [64, 120, 640, 470]}, {"bbox": [0.1, 0.1, 0.4, 0.4]}]'
    found = read(text, coordinates=Coordinates("0-1"))
    assert found.regions == ()
    assert [dropped.reason for dropped in found.dropped] == ["outside", "outside", "others_contradict"]
    assert found.problem == (
        "2 of its 3 boxes contradict that they are [x1, y1, x2, y2] as shares of width and height from 0 to 1"
    )


@pytest.mark.parametrize(("unit", "sent_wh"), [("px", (640, 480)), ("0-1000", (1600, 1200))])
def test_nothing_counts_where_another_scale_explains_all_boxes(unit: str, sent_wh: tuple[int, int]) -> None:
    # The first fits both scales by chance.
    box = "[600, 400, 990, 900]" if unit == "px" else "[600, 400, 1500, 900]"
    text = f'[{{"bbox": [100, 100, 300, 200]}}, {{"bbox": [10, 10, 90, 90]}}, {{"bbox": {box}}}]'
    found = read_found(text, sent_wh, sent_wh, Coordinates(unit))
    assert found.regions == ()
    assert [dropped.reason for dropped in found.dropped] == ["others_contradict", "others_contradict", "wrong_unit"]
    assert "; they may be [x1, y1, x2, y2]" in found.problem


def test_a_box_that_no_scale_explains_says_nothing_of_the_others() -> None:
    text = f'[{{"bbox": [{C}]}}, {{"bbox": [0, 0, 90, 90]}}, {{"bbox": [9000, 9000, 9900, 9900]}}]'
    assert len(read(text).regions) == 2


def test_the_whole_picture_in_shares_is_no_thousandth() -> None:
    found = read('[{"bbox_2d": [0, 0, 1, 1], "label": "dog"}]')
    assert [dropped.reason for dropped in found.dropped] == ["wrong_unit"]


@pytest.mark.parametrize(
    ("answer", "unit"),
    [
        ("Each box is [x, y, width, height]:\n[BOX]", "0-1000"),
        ("Boxes (x, y, w, h):\nLINE", "0-1000"),
        ("Boxes as [center_x, center_y, width, height]:\n[BOX]", "0-1000"),
        ('[{"bbox": [D], "format": "xywh", "label": "dog"}]', "0-1000"),
        ("[ymin, xmin, ymax, xmax]:\n[BOX]", "0-1000"),
        ("[x1, y1, x2, y2]:\n[BOX]", "0-1000-yxyx"),
        ("Here they are in pixels:\n[BOX]", "0-1000"),
        ("The coordinates are normalized:\n[BOX]", "px"),
        ("On a scale from 0 to 1000:\n[BOX]", "px"),
        ('{"range": "0-1", "objects": [BOX]}', "0-1000"),
    ],
)
def test_an_answer_that_says_its_boxes_are_something_else_gives_none(answer: str, unit: str) -> None:
    text = answer.replace("BOX", '{"bbox": [D], "label": "dog"}').replace("LINE", "dog: [D]").replace("[D]", f"[{D}]")
    coordinates = Coordinates.named(unit)
    problem = f"it says that its boxes are something else than {coordinates.form}"
    assert read(text, coordinates=coordinates) == FoundBoxes(problem=problem)


def test_an_answer_may_name_the_form_that_was_asked_for() -> None:
    for unit, x_or_y in [("px", "x1, y1, x2, y2"), ("0-1000", "x_min, y_min, x_max, y_max"), ("0-1000-yxyx", "y1, x1")]:
        coordinates = Coordinates.named(unit)
        text = f"As {coordinates.form} ({x_or_y}):\ndog: [{D}]"
        assert read_found(text, (1000, 1000), (1000, 1000), coordinates).regions


def test_boxes_that_an_answer_calls_an_example_are_none() -> None:
    text = f'I see no dog. An example of the format:\n[{{"bbox_2d": [{D}], "label": "dog"}}]'
    assert read(text) == FoundBoxes(problem="it gives boxes as an example")


def test_numbers_a_little_beyond_the_scale_are_its_end() -> None:
    assert read(f"dog: [-8, 250, 1020, {750}]").regions == (FoundRegion((0.0, 120.0, 640.0, 240.0), "dog"),)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f'[{{"bbox_2d": [{D}], "label": "dog"}}, {{"bbox_2d": [500, 500, 700, 7', 1),
        (f'```json\n{{"objects": [{{"bbox_2d": [{D}], "label": "dog"}}, {{"bbox_2d": [{C}], "label": "c', 1),
        (f"<ref>dog</ref><box>[[{D}]]</box><ref>cat</ref><box>[[500, 500, 70", 1),
        ("<loc0256><loc0128><loc0768><loc0512> dog ; <loc0512><loc0512><loc1000><loc1000> c", 1),
        (f'I think the dog is here: {{"bbox_2d": [{D}], "label": "dog"}}', 0),
        (f"dog: [{D}]\ncat: [500, 5", 0),
        ('[{"bbox_2d": [100, 250', 0),
    ],
)
def test_of_a_cut_answer_what_is_closed_counts(text: str, count: int) -> None:
    found = read(text, cut=True)
    assert [region.label for region in found.regions] == ["dog"] * count
    assert count or found.problem == "it was cut off"


def test_an_array_that_is_never_closed_keeps_its_whole_objects() -> None:
    assert read(f'[{{"bbox_2d": [{D}], "label": "dog"}}, {{"bbox_2d": [500, 50').regions == tuple(TWO[:1])


@pytest.mark.parametrize(
    ("label", "read_as"),
    [("  **A\tbrown\\n dog** ", "A brown dog"), ("\\u0007dog\\u001b[31m", "dog"), ("犬", "犬"), ("“dog”", "dog")],
)
def test_labels_are_clean(label: str, read_as: str) -> None:
    assert [region.label for region in read(f'{{"bbox_2d": [{D}], "label": "{label}"}}').regions] == [read_as]


def test_pixels_are_those_of_the_picture_that_the_model_counts() -> None:
    # A picture of 1280x960 pixels is sent as 641x480, which Qwen2.5-VL makes 644x476.
    text = '{"bbox_2d": [322, 119, 483, 238], "label": "dog"}'
    (region,) = read_found(text, (1280, 960), (641, 480), Coordinates("px", resize=QWEN_25)).regions
    assert region.box == (640, 240, 320, 240)
    (region,) = read_found(text, (1288, 952), (644, 476), Coordinates("px")).regions
    assert region.box == (644, 238, 322, 238)


def test_a_model_that_repeats_itself_is_read_to_an_end() -> None:
    found = read("[" + ", ".join([f'{{"bbox_2d": [{D}], "label": "dog"}}'] * 2000))
    assert found.regions == tuple(TWO[:1])
    assert {(dropped.reason, dropped.box) for dropped in found.dropped} == {("repeated", DOG)}
