"""Reads COCO instances JSON as rows: one per image, with its annotations as lists parallel to its boxes.

Format: https://cocodataset.org/#format-data. Images, annotations and categories may come in any order; they are grouped
on disk, so that memory use does not depend on the file's size.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from regioncap.errors import InputDamaged
from regioncap.inputs.grouping import Groups
from regioncap.inputs.json_object import split_members
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.inputs.streams import ReadProgress, made_row, open_stream, row_text
from regioncap.records import Row, dumps, loads, loads_given
from regioncap.storage.filesystem import Place

REGION_FIELDS = ("annotation_id", "category_id", "category", "score", "iscrowd", "area")
"""Annotation keys that always become lists parallel to the boxes; the config may name more."""

SNIFF_BYTES = 1_000_000
SNIFF_ELEMENTS = 10_000


def looks_like_coco(place: Place) -> bool:
    """Whether the JSON file at `place` begins like one object with arrays of images or annotations."""
    with open_stream(place, ReadProgress()) as stream, contextlib.suppress(InputDamaged):
        if not stream.peek().lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
            return False
        first = stream.readline(SNIFF_BYTES)
        if first.endswith(b"\n") and _is_json(first) and stream.peek().strip():
            return False  # JSON Lines whose rows have `images`
    with open_stream(place, ReadProgress()) as stream, contextlib.suppress(InputDamaged):
        for key, _, text in itertools.islice(split_members(place, stream, MAX_BYTES), SNIFF_ELEMENTS):
            if key in ("images", "annotations") and text.startswith(b"{"):
                return True
    return False


def _is_json(text: bytes) -> bool:
    try:
        loads(text)
    except ValueError:
        return False
    return True


def read_categories(place: Place) -> list[Row]:
    """The categories of a COCO file, unchanged. Raises InputDamaged, StorageError."""
    with open_stream(place, ReadProgress()) as stream:
        found = [_object(text) for key, _, text in split_members(place, stream, MAX_BYTES) if key == "categories"]
    return [category for category in found if category]


@dataclass
class CocoFile:
    """A COCO file, grouped once and readable any number of times.

    `image_key`, `boxes_key`: the rows' keys for the image and its boxes. `fields`: annotation keys that become lists.
    """

    place: Place
    image_key: str
    boxes_key: str
    fields: Sequence[str]

    def read(self, gauge: ReadProgress) -> Lines:
        """Yield (number of the image in the file, its row as JSON) in the order of `images`. Annotations of a missing
        image come last, as rows without an image. Raises InputDamaged, StorageError."""
        groups, names = self._grouped(gauge)
        total, done = max(groups.count(), 1), 0
        gauge.done = lambda: done / total
        for head, found in groups.groups():
            number, key, text = head
            done += 1
            yield number, made_row(partial(self._text, key, text, found, names), text)

    def _grouped(self, gauge: ReadProgress) -> tuple[Groups, dict[Any, Any]]:
        self._gauge = gauge
        return self._groups

    @cached_property
    def _groups(self) -> tuple[Groups, dict[Any, Any]]:
        groups, names = Groups(), {}
        seen = set()
        with open_stream(self.place, self._gauge) as stream:
            for key, number, text in split_members(self.place, stream, MAX_BYTES):
                seen.add(key)
                if key == "images":
                    groups.head(number, dumps(_object(text).get("id")), text)
                elif key == "annotations":
                    groups.add(dumps(_object(text).get("image_id")), text)
                elif key == "categories":
                    category = _object(text)
                    names[_name(category.get("id"))] = category.get("name")
        if "images" not in seen:
            raise InputDamaged(self.place.url, "its end", "this COCO file lacks the list `images`")
        groups.close_groups()
        return groups, names

    def _text(self, key: bytes, text: bytes, found: list[bytes], names: dict[Any, Any]) -> bytes:
        image = _object(text) if text else {"id": loads(key)}
        return row_text(self._row(image, [_object(item) for item in found], names))

    def _row(self, image: Row, annotations: list[Row], names: dict[Any, Any]) -> Row:
        others = {key: value for key, value in image.items() if key not in ("id", "file_name")}
        named = {self.image_key: image["file_name"]} if "file_name" in image else {}
        lists = {field: [_value(one, field, names) for one in annotations] for field in self.fields}
        boxes = [one["bbox"] if _is_box(one.get("bbox")) else [None] * 4 for one in annotations]
        return {**named, "image_id": image.get("id"), self.boxes_key: boxes, **lists} | {
            key: value for key, value in others.items() if key not in {*named, "image_id", self.boxes_key, *lists}
        }


def _object(text: bytes) -> Row:
    """The JSON object in `text`; an empty one if it is something else, which is rejected later for its missing keys."""
    try:
        found = loads_given(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _value(annotation: Row, field: str, names: dict[Any, Any]) -> Any:
    if field == "annotation_id":
        return annotation.get("id")
    if field == "category" and field not in annotation:
        return names.get(_name(annotation.get("category_id")))
    return annotation.get(field)


def _name(value: Any) -> Any:
    return dumps(value) if isinstance(value, list | dict) else value


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4


def coco_fields(named: Iterable[str]) -> tuple[str, ...]:
    """The region fields of a COCO input: those named in the config, then those that are always read, each once."""
    return tuple(dict.fromkeys((*named, *REGION_FIELDS)))
