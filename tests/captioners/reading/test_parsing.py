# ruff: noqa: E501, RUF001 - replies as they come, and signs of many scripts, are meant here.
"""Answers as models really write them: every region its own caption, or none."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regioncap.captioners.reading.parsing import is_refusal, parse, read_reply
from regioncap.captioners.structure import regex_of
from tests.support.known_replies import FOUND, REFUSALS

TWO = [1, 2]
BOTH = {1: "A dog.", 2: "A cat."}

ANSWERS: dict[str, tuple[str, list[int], dict[int, str]]] = {
    "lines": ("<region1>: A dog.\n<region2>: A cat.", TWO, BOTH),
    "other order": ("<region2>: A cat.\n<region1>: A dog.", TWO, BOTH),
    "one paragraph": ("<region1>: A dog. <region2>: A cat.", TWO, BOTH),
    "semicolons": ("<region1>: A dog; <region2>: A cat.", TWO, {1: "A dog", 2: "A cat."}),
    "label on a line of its own": ("<region1>\nA dog.\n\n<region2>\nA cat.", TWO, BOTH),
    "no colon": ("<region1> A dog.\n<region2> A cat.", TWO, BOTH),
    "closing tags": ("<region1>A dog.</region1>\n<region2>A cat.</region2>", TWO, BOTH),
    "Markdown": ("- **<region1>**: A dog.\n- **<region2>**: A cat.", TWO, BOTH),
    "headings": ("### <region1>\nA dog.\n\n### <region2>\nA cat.", TWO, BOTH),
    "words": ("Region 1: A dog.\nRegion 2: A cat.", TWO, BOTH),
    "bold words": ("**Region 1:** A dog.\n**Region 2:** A cat.", TWO, BOTH),
    "numbered labels": ("1. <region1>: A dog.\n2. <region2>: A cat.", TWO, BOTH),
    "other case": ("<Region 1>: A dog.\n<REGION2>: A cat.", TWO, BOTH),
    "quotes": ('<region1>: "A dog."\n<region2>: "A cat."', TWO, BOTH),
    "before and after": ("Here they are:\n\n<region1>: A dog.\n<region2>: A cat.\n\nAnything else?", TWO, BOTH),
    "seed's example": ("In <region1>, a dog sleeps. It is brown.\nIn <region2>, a cat.", TWO,
                       {1: "a dog sleeps. It is brown.", 2: "a cat."}),
    "a label in a sentence": ("<region1>: A dog left of <region2>.\n<region2>: A cat.", TWO,
                              {1: "A dog left of <region2>.", 2: "A cat."}),
    "a sentence begins with another's label": ("<region1>: A dog. <region2> is its prey.\n<region2>: A cat.", TWO,
                                               {2: "A cat."}),
    "several lines": ("<region1>: A dog,\nbrown.\n<region2>: A cat.", TWO, {1: "A dog, brown.", 2: "A cat."}),
    "JSON": ('{"region1": "A dog.", "region2": "A cat."}', TWO, BOTH),
    "JSON with tags": ('{"<region1>": "A dog.", "<region2>": "A cat."}', TWO, BOTH),
    "JSON numbers": ('{"1": "A dog.", "2": "A cat."}', TWO, BOTH),
    "fenced JSON": ('```json\n{"region1": "A dog.", "region2": "A cat."}\n```', TWO, BOTH),
    "wrapped JSON": ('{"regions": {"region1": "A dog.", "region2": "A cat."}}', TWO, BOTH),
    "JSON objects": ('[{"region": 2, "caption": "A cat."}, {"region": "<region1>", "caption": "A dog."}]', TWO, BOTH),
    "JSON list": ('["A dog.", "A cat."]', TWO, BOTH),
    "labels in a JSON list": ('["<region2>: A cat.", "<region1>: A dog."]', TWO, BOTH),
    "numbered": ("1. A dog.\n2. A cat.", TWO, BOTH),
    "bullets": ("- A dog.\n- A cat.", TWO, BOTH),
    "bare lines": ("A dog.\nA cat.", TWO, BOTH),
    "one region, no label": ("A dog.\nIt sleeps.", [1], {1: "A dog. It sleeps."}),
    "one region asked again": ("A dog.", [4], {4: "A dog."}),
    "numbers as asked": ("2. A dog.\n5. A cat.", [2, 5], {2: "A dog.", 5: "A cat."}),
    "same words twice": ("<region1>: A dog.\n<region1>: A dog.\n<region2>: A cat.", TWO, BOTH),
    # --- what is not certain is missing
    "one missing": ("<region1>: A dog.", TWO, {1: "A dog."}),
    "one too many": ("<region1>: A dog.\n<region2>: A cat.\n<region3>: A bird.", TWO, BOTH),
    "told twice": ("<region1>: A dog.\n<region1>: A wolf.\n<region2>: A cat.", TWO, {2: "A cat."}),
    "empty": ("<region1>:\n<region2>: A cat.", TWO, {2: "A cat."}),
    "dots": ("<region1>: …\n<region2>: A cat.", TWO, {2: "A cat."}),
    "too few lines": ("A dog.", TWO, {}),
    "too many lines": ("A dog.\nA cat.\nA bird.", TWO, {}),
    "numbers that do not fit": ("1. A dog.\n2. A cat.", [2, 5], {}),
    "refusal": ("I'm sorry, but I can't help with that.", [1], {}),
    "refusal of one": ("<region1>: I cannot tell.\n<region2>: A cat.", TWO, {2: "A cat."}),
    "broken JSON": ('{"region1": "A dog.", "regi', TWO, {}),
    "nothing": ("", [1], {}),
    "too few in a JSON list": ('["A dog."]', TWO, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_answers(case: str) -> None:
    text, wanted, expected = ANSWERS[case]
    assert parse(text, wanted) == expected


def test_a_cut_answer_has_what_structure_closes() -> None:
    held = "<region1>: A dog.\n<region2>: A ca"
    assert parse(held, TWO, cut=True, structured=True) == {1: "A dog."}
    assert parse('{"region1": "A dog.", "region2": "A ca', TWO, cut=True) == {1: "A dog."}
    assert parse('[{"region": 1, "caption": "A dog."}, {"region": 2, "cap', TWO, cut=True) == {1: "A dog."}
    assert parse('{"region1": "A dog.", "region2": "A cat."}\nLet me', TWO, cut=True) == BOTH


def test_a_string_at_the_very_end_is_complete_only_where_quotes_are_sure_to_be_escaped() -> None:
    ended = '{"region1": "A dog."'
    assert parse(ended, TWO, cut=True, structured=True) == {1: "A dog."}
    assert parse(ended, TWO, cut=True) == {}


@pytest.mark.parametrize(
    ("text", "structured"),
    [
        ("<region1>: A dog.\n<region2>: A ca", False),
        ("Region 1: A dog.\nRegion 2: A ca", True),
        ("So:\n<region1>: A dog.\n<region2>: A ca", True),
        ("A dog.\nA ca", False),
        ("<think>\n<region1>: A dog.\n<region2>: A ca", True),
        ('Let me see. {"region1": "A wolf?", "region2": "', False),
    ],
)
def test_a_cut_answer_has_nothing_else(text: str, structured: bool) -> None:
    assert parse(text, TWO, cut=True, structured=structured) == {}


def test_control_characters_do_not_reach_a_caption() -> None:
    assert parse("<region1>: A\x1a\x00 dog\ufffd.", [1]) == {1: "A dog ."}


BOTH_FOUND = [
    "Draft:\n<region1>: A wolf.\n<region2>: A fox.\n\nFinal:\n<region1>: A dog.\n<region2>: A cat.",
    '"region2"： A cat.\n"region1"： A dog.',
    'Here is the JSON:\n{"region1": "A dog.", "region2": "A cat."}',
    'Here is the JSON:\n```json\n{"region1": "A dog.", "region2": "A cat."}',
    '```json\n{"region1": "A dog.", "region2": "A cat."}\n```\nLet me know if you need more.',
    '{"region1": "A dog.", "region2": "A cat."}\n\nI hope this helps!',
    "**Region 1:**\n\nA dog.\n\n**Region 2:**\n\nA cat.",
    "\ufeff<region1>: A dog.\n<region2>: A cat.",
    "<think>Region 1: wolf? Let me check.</think>\n<region1>: A dog.\n<region2>: A cat.",
    "Region 1: wolf? Let me check.\nRegion 2: tiger.</think>\n\n<region1>: A dog.\n<region2>: A cat.",
    '<think>\n{"region1": "wolf"}\n</think>\n{"region1": "A dog.", "region2": "A cat."}',
    "◁think▷x Region 1: wolf◁/think▷<region1>: A dog.\n<region2>: A cat.",
    "[THINK]Region 1: wolf[/THINK]<region1>: A dog.\n<region2>: A cat.",
    "<|channel|>analysis<|message|>Region 1: wolf.<|end|><|start|>assistant<|channel|>final<|message|><region1>: A dog.\n<region2>: A cat.<|return|>",
    "analysisRegion 1 is wolf.assistantfinal<region1>: A dog.\n<region2>: A cat.",
    "<|channel>thought\nRegion 1: wolf\n<channel|><region1>: A dog.\n<region2>: A cat.<turn|>",
    "<|begin_of_box|><region1>: A dog.\n<region2>: A cat.<|end_of_box|>",
    "<region1>: <|begin_of_box|>A dog.<|end_of_box|>\n<region2>: <|begin_of_box|>A cat.<|end_of_box|>",
    "<think>x</think><answer><region1>: A dog.\n<region2>: A cat.</answer>",
    "<|im_start|>assistant\n<region1>: A dog.\n<region2>: A cat.<|im_end|>\n<|im_start|>user\nmore",
    "&lt;region1&gt;: A dog.\n&lt;region2&gt;: A cat.",
    "<region1>A dog.</region1><region2>A cat.</region2>",
    '<region id="1">A dog.</region>\n<region id="2">A cat.</region>',
    '<regions>\n<region id="1"><caption>A dog.</caption></region>\n<region id="2"><caption>A cat.</caption></region>\n</regions>',
    "<regions><region><id>1</id><caption>A dog.</caption></region><region><id>2</id><caption>A cat.</caption></region></regions>",
    "| Region | Caption |\n|---|---|\n| 1 | A dog. |\n| 2 | A cat. |",
    "| Region | Color | Description |\n|---|---|---|\n| Region 1 | red | A dog. |\n| Region 2 | blue | A cat. |",
    "Here is the table:\n\n| Region 1 | A dog. |\n|:--|:--|\n| Region 2 | A cat. |\n\nHope this helps!",
    "- region: 1\n  caption: A dog.\n- region: 2\n  caption: A cat.",
    "region1:\n  caption: A dog.\nregion2:\n  caption: A cat.",
    "region1: |\n  A dog.\nregion2: |\n  A cat.",
    "regions:\n  - id: 1\n    caption: A dog.\n  - id: 2\n    caption: A cat.",
    'region1 = "A dog."\nregion2 = "A cat."',
    '"region1": "A dog.",\n"region2": "A cat."',
    "{'region1': 'A dog.', 'region2': 'A cat.',}",
    '{1: "A dog.", 2: "A cat."}',
    '{region1: "A dog.", region2: "A cat."}',
    '{"region1": {"caption": "A dog.", "color": "brown"}, "region2": {"caption": "A cat.", "color": "grey"}}',
    '[{"id": 1, "label": "dog", "description": "A dog."}, {"id": 2, "label": "cat", "description": "A cat."}]',
    '[{"bbox_2d": [1,2,3,4], "label": "region1", "caption": "A dog."}, {"bbox_2d": [1,2,3,4], "label": "region2","caption":"A cat."}]',
    '{"region1": "A dog."}\n{"region2": "A cat."}',
    '{"captions": ["A dog.", "A cat."]}',
    '[{"caption": "A dog."}, {"caption": "A cat."}]',
    'Region 1: {"caption": "A dog."}\nRegion 2: {"caption": "A cat."}',
    '[["region1", "A dog."], ["region2", "A cat."]]',
    "Region 1: A dog. Region 2: A cat.",
    "**Region 1:** A dog. **Region 2:** A cat.",
    "Here they are: <region1>: A dog. <region2>: A cat.",
    "Region 1: A dog.\n\nLet's move on to region 2.\n\nRegion 2: A cat.",
    "1️⃣ A dog.\n2️⃣ A cat.",
    "① A dog.\n② A cat.",
    "(1) A dog.\n(2) A cat.",
    "[1] A dog.\n[2] A cat.",
    "1) A dog.\n2) A cat.",
    "#1: A dog.\n#2: A cat.",
    "1: A dog.\n2: A cat.",
    "一、A dog.\n二、A cat.",
    "1. A dog.\n2. A cat.\n\nLet me know!",
    "Region 1: A dog.\nRegion 2: A cat.\nRegion 3: A bird.",
    "Region 1 (left):\nA dog.\nRegion 2 (right):\nA cat.",
    "---\n**Region 1**\nA dog.\n---\n**Region 2**\nA cat.\n---",
    "> **Region 1** A dog.\n> **Region 2** A cat.",
    "| <region1> | A dog. |\n| <region2> | A cat. |",
    "\\<region1\\>: A dog.\n\\<region2\\>: A cat.",
    "Sure, here are the captions:\n\n- A dog.\n- A cat.\n\nFeel free to ask for more!",
    "A dog.\n\nA cat.",
    "[Region 1]\nA dog.\n\n[Region 2]\nA cat.",
    "Region 1\nA dog.\n\nRegion 2\nA cat.",
    "Region 1 - A dog.\nRegion 2 - A cat.",
    "Region 1. A dog.\nRegion 2. A cat.",
    "Region 1 A dog.\nRegion 2 A cat.",
    "Region 1) A dog.\nRegion 2) A cat.",
    "Region #1: A dog.\nRegion #2: A cat.",
    "Box 1: A dog.\nBox 2: A cat.",
    "Object 1: A dog.\nObject 2: A cat.",
    "**1. Region 1**: A dog.\n**2. Region 2**: A cat.",
    "• Region 1 → A dog.\n• Region 2 → A cat.",
    "Region １: A dog.\nRegion ２: A cat.",
    "<REGION_1>: A dog.\n<REGION_2>: A cat.",
    "<region1>: A dog.<br><region2>: A cat.",
    "```\n<region1>: A dog.\n<region2>: A cat.\n```",
    "```text\n<region1>: A dog.\n<region2>: A cat.",
    "<region1>: A dog.\n<region2>: A cat.\n\nBoth look happy.",
    "<region1>: A dog.\n<region2>: A cat. Let me know if you need more details!",
    "thought\n<channel|><region1>: A dog.\n<region2>: A cat.",
    "Here is my thought process: Region 1: wolf. Here is my response: Region 1: A dog.\nRegion 2: A cat.",
    '{"region1": "A dog.", "region2": "A cat."}<|im_end|>',
    '{"answer": {"region1": "A dog.", "region2": "A cat."}, "reasoning": {"region1": "wolf"}}',
    '[{"region1": "A dog."}, {"region2": "A cat."}]',
    '{"regions": [{"region": "<region1>", "caption": "A dog."}, {"region": "<region2>", "caption": "A cat."}]}',
    '{"region_1": "A dog.", "region_2": "A cat."}',
    '{"Region 1": "<region1>: A dog.", "Region 2": "Region 2: A cat."}',
    '{"caption1": "A dog.", "caption2": "A cat."}',
    '```json\n["A dog.", "A cat."]\n```',
    '```json\n[\n\t{"bbox_2d": [10, 20, 30, 40], "label": "<region1>", "description": "A dog."},\n\t{"bbox_2d": [10, 20, 30, 40], "label": "<region2>", "description": "A cat."}\n]\n```',
    "The image contains two regions:\n\n1. **<region1>**: A dog.\n2. **<region2>**: A cat.",
    "Okay, let me look.\n\nRegion 1: maybe wolf.\n</think>\n\n<region1>: A dog.\n<region2>: A cat.",
    "**<region1>:** A dog.\n\n**<region2>:** A cat.\n\nThese descriptions cover the two highlighted areas.",
    "Here's a breakdown of the regions in the image:\n\n*   **<region1>:** A dog.\n*   **<region2>:** A cat.\n\nDo you want me to elaborate on any of these?",
    "Here are the captions for each region:\n\n**Region 1:** A dog.\n\n**Region 2:** A cat.<end_of_turn>",
    "The image presents two regions.\n\n**<region1>:** A dog.\n\n**<region2>:** A cat.\n\nOverall, the image is peaceful.",
    "<think>Region 1: wolf</think><|begin_of_box|><region1>: A dog.\n<region2>: A cat.<|end_of_box|>",
    "**Region 1:**  \nA dog.\n\n**Region 2:**  \nA cat.",
    "- **Region 1**: A dog.\n\n- **Region 2**: A cat.\n\nIf you need further details, just ask!",
    "Certainly! Below are the captions:\n\n<region1> — A dog.\n<region2> — A cat.",
    "Of course! Here are the descriptions of the marked regions:\n\n**<region1>** A dog.\n**<region2>** A cat.",
    "Here is a one-line description for each region:\n<region1>: A dog.\n<region2>: A cat.",
    '```json\n{\n  "<region1>": "A dog.",\n  "<region2>": "A cat."\n}\n```',
    "Looking at the image, I can see two marked regions:\n\n<region1>: A dog.\n<region2>: A cat.\n\nIs there anything else you'd like to know?",
    "◁think▷Let me see. <region1>: wolf.◁/think▷\n\n<region1>: A dog.\n<region2>: A cat.",
    "<region1>A dog.</region1>\n<region2>A cat.</region2>",
    "<|assistant|>\n<region1>: A dog.\n<region2>: A cat.<|end|>",
    "[THINK]Region 1: wolf[/THINK]**<region1>**: A dog.\n**<region2>**: A cat.</s>",
    "<region1>: A dog.\n\n<region2>:\n\nA cat.",
    "Region 1:\n- A dog.\nRegion 2:\n- A cat.",
    "Region 1:\n  Caption: A dog.\nRegion 2:\n  Caption: A cat.",
    "Region 1\n--------\nA dog.\n\nRegion 2\n--------\nA cat.",
    "=== Region 1 ===\nA dog.\n=== Region 2 ===\nA cat.",
    "[1]: A dog.\n[2]: A cat.",
    "<1>: A dog.\n<2>: A cat.",
    "1 - A dog.\n2 - A cat.",
    "No. 1: A dog.\nNo. 2: A cat.",
    "Nr. 1: A dog.\nNr. 2: A cat.",
    "Label 1: A dog.\nLabel 2: A cat.",
    "Caption 1: A dog.\nCaption 2: A cat.",
    "Region (1): A dog.\nRegion (2): A cat.",
    "Region [1]: A dog.\nRegion [2]: A cat.",
    "Region <1>: A dog.\nRegion <2>: A cat.",
    'Region "1": A dog.\nRegion "2": A cat.',
    "<region 1>: A dog.\n<region 2>: A cat.",
    "<region-1>: A dog.\n<region-2>: A cat.",
    "<region1/>: A dog.\n<region2/>: A cat.",
    "<region1:> A dog.\n<region2:> A cat.",
    "<region1: A dog.>\n<region2: A cat.>",
    "[region1: A dog.]\n[region2: A cat.]",
    "$region1$: A dog.\n$region2$: A cat.",
    "@region1: A dog.\n@region2: A cat.",
    "region1=> A dog.\nregion2=> A cat.",
    "The region 1: A dog.\nThe region 2: A cat.",
    "For region 1: A dog.\nFor region 2: A cat.",
    "Description of region 1: A dog.\nDescription of region 2: A cat.",
    "Caption for <region1>: A dog.\nCaption for <region2>: A cat.",
    "Marked region 1: A dog.\nMarked region 2: A cat.",
    "# Region 1\n\nA dog.\n\n# Region 2\n\nA cat.\n\n# Summary\n\nTwo animals.",
    "<region1>: A dog.\n<region2>: A cat.\n```",
    "<region1>: A dog.\n<region2>: A cat.\n</regions>",
    "<output>\n<region1>: A dog.\n<region2>: A cat.\n</output>",
    '["region1: A dog.", "region2: A cat."]',
    '{"regions": {"1": {"caption": "A dog."}, "2": {"caption": "A cat."}}, "image": "A room."}',
    '{"image_description": "A room.", "regions": [{"id": 1, "caption": "A dog."}, {"id": 2, "caption": "A cat."}]}',
    '{"1": "A dog.", "2": "A cat.", "summary": "Two animals."}',
]  # fmt: skip
"""Replies that say of region 1 "A dog." and of region 2 "A cat.", in the forms of many families of models."""


DOUBTED = [
    ("(a) A dog.\n(b) A cat.", [1, 2]),
    ("A: A dog.\nB: A cat.", [1, 2]),
    ("First: A dog.\nSecond: A cat.", [1, 2]),
    ("第一：一只狗。\n第二：一只猫。", [1, 2]),
    ("1 A dog.\n2 A cat.", [1, 2]),
    ("Error: Internal server error", [1]),
    ("Short: A dog.\nLong: A dog on a sofa.", [1]),
    ("A dog.\n\nBoth look happy.", [1]),
    ("Region 0: A dog.\nRegion 1: A cat.", [1, 2]),
    ("<region0>: A dog.\n<region1>: A cat.", [1, 2]),
    ("You haven't attached an image. Please upload one.", [1]),
    ("<think>Region 1: wolf? Let me check.\nRegion 2: tiger.", [1, 2]),
    ("<|channel|>analysis<|message|>Region 1: wolf.", [1, 2]),
    ('[{"bbox_2d": [1,2,3,4], "label": "A cat."}, {"bbox_2d": [1,2,3,4], "label": "A dog."}]', [1, 2]),
    ('[{"id": 0, "caption": "A dog."}, {"id": 1, "caption": "A cat."}]', [1, 2]),
    ("抱歉，我无法识别这张图片。", [1]),
    ("申し訳ありませんが、画像が見えません。", [1]),
    ("죄송합니다. 이미지를 볼 수 없습니다.", [1]),
    ("Es tut mir leid, ich kann das Bild nicht sehen.", [1]),
    ("Je suis désolé, je ne peux pas voir l'image.", [1]),
    ("Lo siento, no puedo ver la imagen.", [1]),
    ("0. A dog.\n1. A cat.", [1, 2]),
    ("Region A: A dog.\nRegion B: A cat.", [1, 2]),
    ("Region 1: A dog.\nRegion 2: A cat.", [2, 5]),
    ("Regions 1 and 2: Two dogs.", [1, 2]),
    ("Region 1-2: Two dogs.", [1, 2]),
    ("Region 2 shows a dog.", [1]),
    ("Got it, let's see. Region 1 is a dog. Region 2 a cat.", [1, 2]),
    ("Here are a few options:\n\n*   **Option 1 (Short):** A dog.\n*   **Option 2 (Detailed):** A big dog.", [1]),
    ("I'm not going to engage in this topic.", [1]),
    ("I'm not comfortable providing information that could identify the person.", [1]),
    ("I don't feel comfortable describing people.", [1]),
    ("I'm unable to identify people in images.", [1]),
    ("Sorry, I can't assist with that.", [1]),
    ("I notice that no image was attached to your message.", [1]),
    ("I don't see any image attached.", [1]),
    ("I'd be happy to help, but I don't see an image. Could you share it?", [1]),
    ("◁think▷Let me see. <region1>: wolf.\n<region2>: A cat.", [1, 2]),
    ("很抱歉，我无法查看图片。", [1]),
    ("对不起，您没有上传图片。", [1]),
    ("画像が添付されていないようです。", [1]),
    ("이미지가 첨부되지 않았습니다.", [1]),
    ("Leider kann ich das Bild nicht sehen.", [1]),
    ("Je ne vois pas d'image jointe.", [1]),
    ("No puedo ayudarte con eso.", [1]),
    ("<region1>: A dog.\n<region2>: A cat.\n<region3>: A bird.", [1, 2, 4]),
    ("<region3>: A dog.", [1]),
    ("<region1>, <region2>: Two dogs.", [1, 2]),
    ('{"error": "no image"}', [1]),
    ('{"error": "I cannot see the image."}', [1]),
    ('{"0": "A dog.", "1": "A cat."}', [1, 2]),
]  # fmt: skip
"""Replies of which nothing may be taken: refusals, numbers that do not fit, drafts."""


@pytest.mark.parametrize("text", BOTH_FOUND)
def test_both_are_found(text: str) -> None:
    assert parse(text, TWO) == BOTH


@pytest.mark.parametrize(("text", "wanted", "expected"), FOUND)
def test_found(text: str, wanted: list[int], expected: dict[int, str]) -> None:
    assert parse(text, wanted) == expected


@pytest.mark.parametrize(("text", "wanted"), DOUBTED)
def test_doubt_is_a_missing_region(text: str, wanted: list[int]) -> None:
    parsed = read_reply(text, wanted)
    assert parsed.captions == {}
    assert parsed.reason


BRACKETS = ["<>", "〈〉", "＜＞", "«»", "[]", "()", "【】", "{}", "「」", "“”", "《》", "‹›", "［］", '""', ""]


@pytest.mark.parametrize("separator", [": ", "： ", " – ", "\n"])
@pytest.mark.parametrize("brackets", BRACKETS)
def test_brackets_do_not_shift_anything(brackets: str, separator: str) -> None:
    left, right = brackets[:1], brackets[1:]
    text = f"{left}region2{right}{separator}A cat.\n{left}region1{right}{separator}A dog."
    assert parse(text, TWO) == BOTH


@pytest.mark.parametrize(
    ("text", "wanted", "reason"),
    [
        ("Region 0: A dog.\nRegion 1: A cat.", TWO, "labels 0, 1 do not match the regions asked for (1, 2)"),
        ("Region 1: A dog.\nRegion 2: A cat.", [2, 5], "labels 1, 2 do not match the regions asked for (2, 5)"),
        ("0. A dog.\n1. A cat.", TWO, "labels 0, 1 do not match the regions asked for (1, 2)"),
        ("<think>A dog", TWO, "its reasoning never ended"),
        ("", TWO, "there is no answer in it"),
        ("I'm sorry, I can't.", TWO, "it refuses"),
        ("A dog.", TWO, "it has no labels that are understood, and not one item for each of 2 regions"),
        ('["A dog."]', TWO, "its JSON has no labels, and 1 texts for 2 regions"),
        ('{"region1": "A "dog"."}', TWO, "its JSON is broken"),
        ("<region1>: A dog.\n<region2>: N/A", TWO, "no usable text for 2"),
        ("<region1>: A dog.\n<region2>: A cat.", TWO, ""),
    ],
)
def test_the_reason_names_what_is_missing(text: str, wanted: list[int], reason: str) -> None:
    assert read_reply(text, wanted).reason == reason


@pytest.mark.parametrize("text", ["<region1>: A {0} dog.", '{{"region1": "A {0} dog."}}'])
@pytest.mark.parametrize("sign", ["\x00", "\x1b[31m", "\u202e", "\ufeff", "\ud83d", "\x85", "\u2028"])
def test_what_is_no_text_reaches_no_caption(text: str, sign: str) -> None:
    assert parse(text.format(sign), [1]) == {1: "A dog."}


@pytest.mark.parametrize(
    "text",
    [
        '<region1>: {"caption": "A dog.", "bbox": [1, 2]} and more',
        "<region1>: A dog <|vision_start|> here.",
        "<region1>: A dog <tool_call> here.",
        "<region1>: \\boxed{A dog.",
    ],
)
def test_a_caption_with_markup_or_json_is_missing(text: str) -> None:
    assert parse(text, [1]) == {}


LONG = """
import itertools, sys
from regioncap.captioners.reading.parsing import read_reply

PARTS = {parts!r}
for part in PARTS:
    text = (part * 65536)[:65536]
    read_reply(text, [1])
    read_reply("<region1>: " + text + "\\n<region2>: A cat.", [1, 2])
    read_reply(text, [1, 2], cut=True, structured=True)
"""
PARTS = [
    "\n", " ", "\t", " \n", "<", ">", "```", "```\n", "[", "{", '{"', '["', '{"a":', '["a",', '["a" ', "{}", "[]", "{1:", "<think>", "</think>",
    "<region1>: ", "<region1>: a. ", "Region 1", "Region 1: ", "region ", "*", "** ", "_", "1. ", "1. a\n", "1", "(", "【", '"', "'", "\\", '\\"',
    "|", "| 1 | a |\n", "<|", "<|a|>", "<|det|>", "<box>", "<|message|>", "<answer>", "&lt;", "-", "---\n", "> ", "</", "<a ", "第一", "a. ", "。",
    "If you need ", "Let me know. ", " and 1", "Region 1, 2, ", "assistant:\n", '{"region1":"a"},', '[{"region":1,"caption":"a"},', "the ", "Sure! ",
    "Caption: ", "I'm sorry ", "A dog.\\n", "je ne ", "Box 1 (", "\u202e",
    "Ⅰ. ", "I. ", "R1: ", "1\t", "1,a\n", "[[a]]\n", "। ", "Final: ", "Wait, ", "[think]", "<a-think", "\\<think", "<details><summary>think</summary>",
    "```think\n", "&lt;a", "// x\n", "/* ", "{//", "Region 1 [", "name: ", "<dt>", "Region 2: a ", "- caption: a\n", "![a](", "\uff21", "İ",
]  # fmt: skip


def test_no_text_takes_long() -> None:
    # A quadratic pattern takes hours for these, so the guard against hanging can be generous.
    subprocess.run([sys.executable, "-c", LONG.format(parts=PARTS)], check=True, timeout=240)


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "A sorry-looking dog.",
        "A sign reads 'I cannot wait'.",
        "Ice cream.",
        "An AI lab.",
        "一只狗。",
        "Ein Leiter steht an der Wand.",
        "Una mujer sonríe.",
    ],
)
def test_no_refusals(text: str) -> None:
    assert not is_refusal(text)


CAPTION = st.text(st.characters(exclude_characters="<\n", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=60)


@given(st.lists(CAPTION.filter(lambda text: re.search(r"\w", text) and not text[0].isspace()), min_size=1, max_size=6))
def test_what_the_structure_allows_is_never_shifted(texts: list[str]) -> None:
    wanted = list(range(1, len(texts) + 1))
    answer = "\n".join(f"<region{number}>: {text}" for number, text in zip(wanted, texts, strict=True))
    assert re.fullmatch(regex_of(wanted, None), answer)
    found = parse(answer, wanted)
    for number, caption in found.items():
        squeezed = re.sub(r"\W", "", caption)
        assert squeezed in re.sub(r"\W", "", texts[number - 1])


@given(st.text(max_size=300), st.integers(1, 5))
def test_nothing_breaks_the_parser_or_comes_from_elsewhere(text: str, count: int) -> None:
    wanted = list(range(1, count + 1))
    for number, caption in parse(text, wanted).items():
        assert number in wanted
        assert caption.strip() == caption != ""
