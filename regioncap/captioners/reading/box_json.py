"""Boxes in JSON: objects that have one under a name of its own, wherever they stand in an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regioncap.captioners.reading.box_candidates import Candidate, candidate
from regioncap.captioners.reading.json_answers import DRAFTS
from regioncap.captioners.reading.lenient_json import Pairs
from regioncap.config.coordinates import Coordinates

BOX_NAMES = frozenset({
    "bbox_2d", "box_2d", "bbox", "box", "bounding_box", "boundingbox", "bbox2d", "box2d", "bboxes", "boxes",
    "bounding_boxes", "coordinates", "coords",
})  # fmt: skip
"""Where the box of an object is, or a list of its boxes."""

LABEL_NAMES = (
    "label", "name", "object", "object_name", "class", "class_name", "category", "phrase", "description", "caption",
    "text", "text_content",
)  # fmt: skip
"""Where its label is, best first."""

_CORNERS = (
    ("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)  # fmt: skip
_SIDES = frozenset({"x", "y", "w", "h", "width", "height"})
_OF_COCO = frozenset({"area", "category_id", "iscrowd", "segmentation"})
"""What stands beside COCO's boxes, which are x, y, width, height."""
_CORNER_NAMES = frozenset(name for names in _CORNERS for name in names)


def boxes_in(value: Any, coordinates: Coordinates) -> list[Candidate]:
    """The boxes in a value as `find_values` gives it, in its order. `coordinates`: those of the model."""
    return list(_walk(value, coordinates))


def _walk(value: Any, coordinates: Coordinates) -> Iterator[Candidate]:
    if isinstance(value, Pairs):
        found = _of_object(value, coordinates)
        if found is not None:
            yield from found
            return
        entries = [entry for name, entry in value if name.strip().lower() not in DRAFTS]
    else:
        entries = value if isinstance(value, list) else []
    for entry in entries:
        yield from _walk(entry, coordinates)


def _of_object(pairs: Pairs, coordinates: Coordinates) -> list[Candidate] | None:
    """The boxes of one object; None if it has none, but may hold objects that have."""
    fields = [(name.strip().lower(), entry) for name, entry in pairs]
    names = {name for name, _ in fields}
    boxes = [entry for name, entry in fields if name in BOX_NAMES and not _holds_objects(entry)]
    corners = _of_corners(dict(fields), coordinates, names)
    found = [*boxes, *([] if corners is None else [corners])]
    if not found:
        return None
    label = _label(fields)
    if len(found) > 1 or names & (_SIDES | _OF_COCO) or len(names) < len(fields):
        # Its box is there twice, or may be one of sides: nobody knows which numbers are which.
        return [Candidate(_shown(found), problem="ambiguous")]
    return [_of_list(box, label, coordinates) for box in _several(found[0])]


def _label(fields: list[tuple[str, Any]]) -> str | None:
    for wanted in LABEL_NAMES:
        for name, entry in fields:
            if name == wanted and entry is not None:
                # Anything but a text becomes one without letters, which is no label.
                return entry if isinstance(entry, str) else "?"
    return None


def _of_corners(fields: dict[str, Any], coordinates: Coordinates, names: set[str]) -> list[Any] | None:
    """The box of an object that has one number under each name of a corner, in the model's order."""
    found = [corners for corners in _CORNERS if names >= set(corners)]
    if not found:
        return None
    if len(names & _CORNER_NAMES) > 4:
        return []
    x1, y1, x2, y2 = (fields[name] for name in found[0])
    return [y1, x1, y2, x2] if coordinates.y_first else [x1, y1, x2, y2]


def _several(box: Any) -> list[Any]:
    """The boxes of a field that has one, or a list of them."""
    return box if isinstance(box, list) and box and all(map(_is_flat, box)) else [box]


def _of_list(box: Any, label: str | None, coordinates: Coordinates | None = None) -> Candidate:
    if isinstance(box, Pairs):
        names = {name.strip().lower() for name, _ in box}
        named = {name.strip().lower(): entry for name, entry in box}
        numbers = _of_corners(named, coordinates, names) if coordinates and not names & _SIDES else None
        box = numbers if numbers is not None and len(names) == len(box) else []
    entries = [entry if isinstance(entry, str) else "" for entry in box] if isinstance(box, list) else []
    return candidate(_shown(box), entries, label)


def _holds_objects(entry: Any) -> bool:
    """Whether a field named like one of boxes holds objects that have each their own: `{"boxes": [{"label": …}]}`."""
    if isinstance(entry, Pairs):
        names = {name.strip().lower() for name, _ in entry}
        return not names & (_CORNER_NAMES | _SIDES)
    return isinstance(entry, list) and any(isinstance(item, Pairs) for item in entry)


def _is_flat(box: Any) -> bool:
    return isinstance(box, list) and not isinstance(box, Pairs) and all(isinstance(entry, str) for entry in box)


def _shown(box: Any) -> str:
    return str(box).replace("'", "")
