"""Ways in which models write boxes, and answers from which no box may be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import orjson


@dataclass(frozen=True)
class Find:
    """A thing that the model found. `numbers`: its box, in the order in which the model writes it. `scale_wh`: what the
    picture's width and height are in their unit. `y_first`: they are y, x, y, x."""

    name: str
    numbers: tuple[float, ...]
    scale_wh: tuple[float, float]
    y_first: bool = False

    @property
    def corners(self) -> tuple[float, ...]:
        """xyxyn: x, y, x, y as shares of the picture."""
        a, b, c, d = self.numbers
        x1, y1, x2, y2 = (b, a, d, c) if self.y_first else (a, b, c, d)
        width, height = self.scale_wh
        return x1 / width, y1 / height, x2 / width, y2 / height


Finds = Sequence[Find]
Write = Callable[[Finds], str]


@dataclass(frozen=True)
class BoxForm:
    """`text`: what it is, for the help. `write`: gives the answer."""

    text: str
    write: Write


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _objects(finds: Finds, box: str, label: str) -> list[dict[str, object]]:
    return [{box: list(find.numbers), label: find.name} for find in finds]


def _corners(find: Find) -> dict[str, object]:
    order = ("y1", "x1", "y2", "x2") if find.y_first else ("x1", "y1", "x2", "y2")
    return {"label": find.name, "box": dict(zip(order, find.numbers, strict=True))}


def _each(form: str, between: str = "\n") -> Write:
    """Each find in `form`, with {name} and {a} to {d}."""
    return lambda finds: between.join(
        form.format(name=find.name, **dict(zip("abcd", find.numbers, strict=True))) for find in finds
    )


def _located(find: Find) -> str:
    return "".join(f"<loc{int(number):04d}>" for number in find.numbers) + f" {find.name}"


BOX_FORMS: dict[str, BoxForm] = {
    "bbox_2d": BoxForm(
        "JSON as Qwen2.5-VL writes it", lambda f: f"```json\n{_json(_objects(f, 'bbox_2d', 'label'))}\n```"
    ),
    "box_2d": BoxForm("JSON as Gemini writes it", lambda f: _json(_objects(f, "box_2d", "label"))),
    "bbox": BoxForm(
        "an object with a list in it, behind prose",
        lambda f: f"Here is the list:\n\n{_json({'objects': _objects(f, 'bbox', 'name')})}\n",
    ),
    "json-lines": BoxForm("an object a line", lambda f: "\n".join(map(_json, _objects(f, "box", "description")))),
    "corners": BoxForm("objects that name each number", lambda f: _json([_corners(find) for find in f])),
    "qwen2": BoxForm(
        "tokens of Qwen2-VL",
        _each("<|object_ref_start|>{name}<|object_ref_end|><|box_start|>({a},{b}),({c},{d})<|box_end|>", between=""),
    ),
    "qwen": BoxForm("tags of Qwen-VL", _each("<ref>{name}</ref><box>({a},{b}),({c},{d})</box>", between=" ")),
    "internvl": BoxForm("tags of InternVL", _each("<ref>{name}</ref><box>[[{a}, {b}, {c}, {d}]]</box>")),
    "deepseek": BoxForm("tokens of DeepSeek-VL2", _each("<|ref|>{name}<|/ref|><|det|>[[{a}, {b}, {c}, {d}]]<|/det|>")),
    "box": BoxForm("numbers in a tag behind the name", _each("{name}: <box>{a} {b} {c} {d}</box>")),
    "points": BoxForm("two points behind the name", _each("{name}({a},{b}),({c},{d})")),
    "lines": BoxForm("a line for each name and box", _each("{name}: [{a}, {b}, {c}, {d}]")),
    "paligemma": BoxForm(
        "tokens of PaliGemma, which have coordinates of their own", lambda f: " ; ".join(map(_located, f))
    ),
}
"""Ways in which boxes can be read, with the names of the things, by name."""

IN_BINS = {"paligemma": 1024}
"""Forms with coordinates of their own, yxyx: into how many bins they divide a side."""


def _moved(find: Find) -> Find:
    """As `find`, wholly to the right of the picture."""
    places = (1, 3) if find.y_first else (0, 2)
    numbers = list(find.numbers)
    for place in places:
        numbers[place] += 3 * find.scale_wh[0]
    return replace(find, numbers=tuple(numbers))


def _with_numbers(change: Callable[[Find], Sequence[object]]) -> Write:
    return lambda finds: _json([{"bbox_2d": list(change(find)), "label": find.name} for find in finds])


DOUBTFUL: dict[str, BoxForm] = {
    "none": BoxForm("an empty list", lambda f: "[]"),
    "prose": BoxForm("prose without boxes", lambda f: f"There are {len(f)} of these, left of the middle."),
    "sentences": BoxForm("boxes in sentences", _each("The {name} is at [{a}, {b}, {c}, {d}].", between=" ")),
    "cut": BoxForm(
        "JSON that ends in the middle of its first box", lambda f: _json(_objects(f[:1], "bbox_2d", "label"))
    ),
    "outside": BoxForm("boxes beside the picture", lambda f: _json(_objects([*map(_moved, f)], "bbox_2d", "label"))),
    "three": BoxForm("three numbers a box", _with_numbers(lambda find: find.numbers[:3])),
    "reversed": BoxForm("the second corner first", _with_numbers(lambda find: find.numbers[::-1])),
    "words": BoxForm("words in place of numbers", _with_numbers(lambda find: ("x1", "y1", "x2", "y2"))),
    "whole": BoxForm(
        "boxes of the whole picture",
        _with_numbers(lambda find: (0, 0, *find.scale_wh[:: -1 if find.y_first else 1])),
    ),
    "thoughts": BoxForm("reasoning that never ends", lambda f: f"<think>{_json(_objects(f, 'bbox_2d', 'label'))}"),
}
"""Answers in which no box may be read, by name."""
