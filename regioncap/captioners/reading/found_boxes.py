"""From a model's answer to "where are …" to boxes: nothing is guessed, and doubt is a missing box.

An answer is read in this order:

1. Reasoning, channels and special tokens are taken out (`reasoning`).
2. Boxes of one form are looked for: JSON objects with a box under a name of its own, anywhere in the text (`box_json`);
   the markup of models (`box_markup`); lines of nothing but labels and boxes, or a list of boxes that is the whole
   answer (`box_lines`). An answer with boxes in several forms holds drafts, perhaps, and gives none.
3. Their numbers become pixels by the coordinates that the model was trained with or asked for (`box_places`). These are
   never guessed from the numbers; numbers that contradict them are no box. None is where most of an answer's do, where
   another scale would explain all of them, or where the answer says that they are something else (`box_claims`).
4. What is no region of its own is dropped: the whole picture, and a box that was there before.

Of an answer that ended at its limit, what is closed by structure counts: whole objects, closed tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from regioncap.captioners.reading.box_candidates import Candidate
from regioncap.captioners.reading.box_claims import contradicts, is_example
from regioncap.captioners.reading.box_json import boxes_in
from regioncap.captioners.reading.box_lines import leads_to_boxes, line_boxes
from regioncap.captioners.reading.box_markup import LOC, begin_of_markup, located_boxes, tagged_boxes, with_tags
from regioncap.captioners.reading.box_places import CONTRADICTS, Box, place
from regioncap.captioners.reading.lazy_pattern import rare_pattern
from regioncap.captioners.reading.lenient_json import Pairs, Value, find_values
from regioncap.captioners.reading.placeholders import says_nothing
from regioncap.captioners.reading.plain_text import without_odd_signs
from regioncap.captioners.reading.reasoning import answer_of
from regioncap.captioners.reading.refusals import is_refusal
from regioncap.captioners.reading.remarks import corrects_itself
from regioncap.config.coordinates import Coordinates
from regioncap.vision.boxes import box_iou

BOX_RULES_VERSION = 2
"""Raise it when an answer gives other boxes than before."""

MAX_READ = 300
"""Boxes of an answer that are read. A model that repeats itself gives more."""

WHOLE_SHARE = 0.95
"""A box with so much of the picture's area covers everything."""

REPEATED_IOU = 0.9
"""Whatever its label: the same box under two names is one region, and the first name is the model's first."""

OVERLAP_IOU = 0.7
"""With the same label: the same thing twice. People in a crowd overlap less."""

TEXT_CHARS = 120

_OTHER_SCALE = {"px": "0-1000", "0-1000": "px"}
"""What a model may have written instead."""

_FENCE = "`json \n"
_FENCE_LINE = rare_pattern(r"[`~]{3}[\w-]{0,16}")


@dataclass(frozen=True)
class FoundRegion:
    """A region that a model found. `box`: xywh in pixels of the picture, inside it, not rounded; `found_in` of
    `regioncap.vision.found_regions` rounds it. `label`: what the model calls it, on one line; None if it does not."""

    box: Box
    label: str | None = None


@dataclass(frozen=True)
class DroppedBox:
    """A box of an answer that is no region. `text`: as the model wrote it, shortened. `box`: xywh in pixels of the
    picture, where the numbers are those of a box within it.

    `reason`: `not_four_numbers`, `not_finite`, `reversed` (a corner), `no_area`, `outside` (of the picture),
    `wrong_unit` (the numbers contradict the coordinates), `ambiguous` (there in two ways), `bad_label`, `in_prose`,
    `whole_picture`, `repeated`, `overlapping`, `others_contradict` (boxes of its answer have the
    wrong unit, and so may it).
    """

    text: str
    reason: str
    box: Box | None = None


@dataclass(frozen=True)
class FoundBoxes:
    """What an answer gives. `regions`: in the model's order. `dropped`: the boxes that are none. `problem`: why nothing
    was understood; "" if there are regions, or the answer says that there is nothing."""

    regions: tuple[FoundRegion, ...] = ()
    dropped: tuple[DroppedBox, ...] = ()
    problem: str = ""


def read_found(
    text: str, picture_wh: tuple[int, int], sent_wh: tuple[int, int], coordinates: Coordinates, *, cut: bool = False
) -> FoundBoxes:
    """The boxes in a model's answer `text`, in pixels of a picture of `picture_wh`.

    `sent_wh`: size in pixels of the picture that the model got; `coordinates`: how it means its numbers; `cut`: the
    answer ended at its limit.

    >>> thousandths = Coordinates("0-1000")
    >>> read_found('[{"bbox_2d": [100, 250, 300, 750], "label": "dog"}]', (640, 480), (640, 480), thousandths).regions
    (FoundRegion(box=(64.0, 120.0, 128.0, 240.0), label='dog'),)
    """
    answer = answer_of(without_odd_signs(with_tags(text)))
    if not answer.text:
        return FoundBoxes(problem=answer.problem or "there is no answer in it")
    candidates, problem = _candidates(answer.text, coordinates, cut)
    if not candidates:
        return FoundBoxes(problem=problem)
    return _placed(candidates[:MAX_READ], picture_wh, sent_wh, coordinates)


# --- the boxes of one form


def _candidates(text: str, coordinates: Coordinates, cut: bool) -> tuple[list[Candidate], str]:
    """The boxes in an answer, in its order, or none and why."""
    values = find_values(text)
    in_json = [box for value in values if value.whole for box in boxes_in(value.value, coordinates)]
    forms = [form for form in (in_json, tagged_boxes(text), located_boxes(text)) if form]
    if len(forms) > 1 or (in_json and _goes_on_in_prose(text, values)):
        return [], "it has boxes in several places, of which some may be drafts"
    begin = min([value.begin for value in values], default=len(text)) if in_json else begin_of_markup(text)
    if cut and (not forms or text[:begin].strip(_FENCE)):
        return [], "it was cut off"
    found = forms[0] if forms else line_boxes(_outside_objects(text, values))
    if not found:
        return [], "" if _says_none(text, values) else _no_box(text)
    around = _around(text, values)
    if corrects_itself(around):
        return [], "it corrects itself"
    if is_example(around):
        return [], "it gives boxes as an example"
    if found[0].coordinates is None and contradicts(text, coordinates):
        return [], f"it says that its boxes are something else than {coordinates.form}"
    # A label that comes behind its box may have been cut.
    return found[:-1] if cut and found[-1].coordinates == LOC else found, "it was cut off" if cut else ""


def _around(text: str, values: Sequence[Value]) -> str:
    """A text without the JSON in it."""
    for value in reversed(values):
        text = f"{text[: value.begin]}\n{text[value.end :]}" if value.whole else text
    return text


def _goes_on_in_prose(text: str, values: Sequence[Value]) -> bool:
    """Whether there are sentences between values that are whole: what comes first may be a draft or an example."""
    if not all(value.whole for value in values):
        return False
    between = (text[value.end : other.begin] for value, other in pairwise(values))
    lines = (line for piece in between for line in _FENCE_LINE.sub("", piece).split("\n"))
    return any(any(map(str.isalnum, line)) and not leads_to_boxes(line) for line in lines)


def _outside_objects(text: str, values: Sequence[Value]) -> str:
    """A text without its JSON objects: what has no box under a name of its own has none in its lines, either."""
    for value in reversed(values):
        if isinstance(value.value, Pairs):
            text = text[: value.begin] + (text[value.end :] if value.whole else "")
    return text


def _says_none(text: str, values: Sequence[Value]) -> bool:
    """Whether an answer says that there is nothing: `[]`, `{"objects": []}`, `None`."""
    if values:
        return all(value.whole and _is_empty(value.value) for value in values) and not _around(text, values).strip(
            _FENCE
        )
    return says_nothing(text)


def _is_empty(value: object) -> bool:
    if isinstance(value, Pairs):
        return all(isinstance(entry, list) and _is_empty(entry) for _, entry in value)
    return value == []


def _no_box(text: str) -> str:
    return "it refuses" if is_refusal(text) else "there is no box in it in a form that is understood"


# --- which of them are regions


def _placed(
    candidates: Sequence[Candidate], picture_wh: tuple[int, int], sent_wh: tuple[int, int], coordinates: Coordinates
) -> FoundBoxes:
    boxes: list[Box | None] = []
    problems: list[str] = []
    for candidate in candidates:
        box, problem = None, candidate.problem
        if not problem:
            box, problem = place(candidate.numbers, candidate.coordinates or coordinates, picture_wh, sent_wh)
        boxes.append(box)
        problems.append(problem)
    regions: list[FoundRegion] = []
    problem = _contradiction(candidates, problems, coordinates) or _other_scale(
        candidates, problems, coordinates, sent_wh
    )
    if problem:
        problems = [problem_of_box or "others_contradict" for problem_of_box in problems]
    for at, (candidate, box) in enumerate(zip(candidates, boxes, strict=True)):
        if box is not None and not problem:
            region = FoundRegion(box, candidate.label)
            problems[at] = _no_region_of_its_own(region, regions, picture_wh)
            regions += [] if problems[at] else [region]
    dropped = tuple(
        DroppedBox(_shortened(candidate.text), reason, box)
        for candidate, reason, box in zip(candidates, problems, boxes, strict=True)
        if reason
    )
    if dropped and not regions and not problem:
        problem = f"none of its boxes can be used: {', '.join(dict.fromkeys(drop.reason for drop in dropped))}"
    return FoundBoxes(tuple(regions), dropped, problem)


def _contradiction(candidates: Sequence[Candidate], problems: Sequence[str], coordinates: Coordinates) -> str:
    """In words that most boxes contradict the coordinates; "" if they do not."""
    contradicting = sum(problem in CONTRADICTS for problem in problems)
    readable = sum(bool(candidate.numbers) for candidate in candidates)
    if 2 * contradicting <= readable:
        return ""
    return f"{contradicting} of its {readable} boxes contradict that they are {coordinates.form}"


def _other_scale(
    candidates: Sequence[Candidate], problems: Sequence[str], coordinates: Coordinates, sent_wh: tuple[int, int]
) -> str:
    """In words that one box contradicts the coordinates, and that pixels in place of thousandths, or the reverse, would
    explain all of them: then those that fit by chance are elsewhere. "" if it is not so."""
    if coordinates.unit not in _OTHER_SCALE or not {"wrong_unit", "outside"}.intersection(problems):
        return ""
    other = replace(coordinates, unit=_OTHER_SCALE[coordinates.unit], resize=None)
    read = [each.numbers for each in candidates if each.numbers and each.coordinates is None]
    if any(place(numbers, other, sent_wh, sent_wh)[1] in CONTRADICTS for numbers in read):
        return ""
    return f"its boxes contradict that they are {coordinates.form}; they may be {other.form}"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 1]}…"


def _no_region_of_its_own(region: FoundRegion, earlier: Sequence[FoundRegion], picture_wh: tuple[int, int]) -> str:
    _, _, width, height = region.box
    if width * height >= WHOLE_SHARE * picture_wh[0] * picture_wh[1]:
        return "whole_picture"
    if not earlier:
        return ""
    overlaps = box_iou([_corners(region.box)], [_corners(other.box) for other in earlier])[0]
    if overlaps.max() >= REPEATED_IOU:
        return "repeated"
    alike = [_same(region.label, other.label) for other in earlier]
    return "overlapping" if any(overlaps[alike] > OVERLAP_IOU) else ""


def _corners(box: Box) -> Box:
    x, y, width, height = box
    return x, y, x + width, y + height


def _same(label: str | None, other: str | None) -> bool:
    return (label or "").casefold() == (other or "").casefold()
