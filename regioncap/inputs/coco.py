"""Reads COCO instances JSON as rows: one per image, with its annotations as lists parallel to its boxes.

Format: https://cocodataset.org/#format-data. Images, annotations and categories may come in any order; they are grouped
on disk, so that memory use does not depend on the file's size.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from regioncap.errors import InputDamaged
from regioncap.inputs.coco_annotations import AnnotationKeys
from regioncap.inputs.coco_boxes import box_from
from regioncap.inputs.grouping import Groups
from regioncap.inputs.json_object import split_members
from regioncap.inputs.sharding import MAX_BYTES, Lines
from regioncap.inputs.streams import ReadProgress, made_row, open_stream, row_text
from regioncap.records import Row, dumps, loads, loads_given, not_a_row, shorten
from regioncap.row_keys import MISSING, value_at
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
    `own_image_key`: whether an image's own value of `image_key` (`coco_url`) counts before its `file_name`.
    `box_format`: that of boxes made from segmentations; None: none are made.
    """

    place: Place
    image_key: str
    boxes_key: str
    fields: Sequence[str]
    own_image_key: bool = False
    box_format: str | None = "xywh"

    def read(self, gauge: ReadProgress) -> Lines:
        """Yield (number of the image in the file, its row as JSON) in the order of `images`. Annotations of a missing
        image come last, as rows without an image; images that share an id are broken rows if it has annotations. Raises
        InputDamaged, StorageError, and UsageError for a file whose annotations have neither boxes nor segmentations."""
        groups, names = self._grouped(gauge)
        total, done = max(groups.count(), 1), 0
        gauge.done = lambda: done / total
        for head, found in groups.groups():
            number, key, text = head
            done += 1
            if shared := groups.ambiguous(key):
                yield number, not_a_row(_shared_id(key, shared), text)
            else:
                yield number, made_row(partial(self._text, key, text, found, names), text)

    def _grouped(self, gauge: ReadProgress) -> tuple[Groups, dict[Any, Any]]:
        self._gauge = gauge
        return self._groups

    @cached_property
    def _groups(self) -> tuple[Groups, dict[Any, Any]]:
        groups, names = Groups(), {}
        seen, look = set(), AnnotationKeys(set(self.fields) - set(REGION_FIELDS), hulls=self.box_format is not None)
        with open_stream(self.place, self._gauge) as stream:
            for key, number, text in split_members(self.place, stream, MAX_BYTES):
                seen.add(key)
                if key == "images":
                    groups.head(number, dumps(_object(text).get("id")), text)
                elif key == "annotations":
                    annotation = _object(text)
                    look.add(annotation)
                    groups.add(dumps(annotation.get("image_id")), text)
                elif key == "categories":
                    category = _object(text)
                    names[_name(category.get("id"))] = category.get("name")
                    names.setdefault(_alike_name(category.get("id")), category.get("name"))
        if "images" not in seen:
            raise InputDamaged(self.place.url, "its end", "this COCO file lacks the list `images`")
        look.check(self.place)
        groups.join_alike(_alike)
        groups.find_ambiguous(_file_name)
        groups.close_groups()
        return groups, names

    def _text(self, key: bytes, text: bytes, found: list[bytes], names: dict[Any, Any]) -> bytes:
        image = _object(text) if text else {"id": loads(key)}
        return row_text(self._row(image, [_object(item) for item in found], names))

    def _row(self, image: Row, annotations: list[Row], names: dict[Any, Any]) -> Row:
        own = value_at(image, self.image_key, None) if self.own_image_key else None
        source = self.image_key if isinstance(own, str) and own else "file_name"
        name = value_at(image, source)
        others = {key: value for key, value in image.items() if key not in ("id", source)}
        named = {} if name is MISSING else {self.image_key: name}
        lists = {field: [_value(one, field, names) for one in annotations] for field in self.fields}
        boxes = [box_from(one, self.box_format) for one in annotations]
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
        given = annotation.get("category_id")
        return names.get(_name(given), names.get(_alike_name(given)))
    return value_at(annotation, field, None)


def _name(value: Any) -> Any:
    return dumps(value) if isinstance(value, list | dict) else value


def _alike(key: bytes) -> bytes:
    """The JSON of an id in the form that `1`, `1.0` and `"1"` share."""
    value = loads(key)
    if isinstance(value, float) and value.is_integer():
        return b"%d" % int(value)
    # No other spellings: "01" and "1" may be two ids.
    return value.encode() if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,30}", value) else key


def _alike_name(category_id: Any) -> Any:
    return "alike", _alike(dumps(category_id))


def _file_name(image: bytes) -> bytes:
    return dumps(_object(image).get("file_name"))


def _shared_id(key: bytes, images: int) -> str:
    return (
        f"{images} images of this file have the id {shorten(loads(key))}, so nothing tells which one an annotation "
        "belongs to; give each image an id of its own"
    )


def coco_fields(named: Iterable[str]) -> tuple[str, ...]:
    """The region fields of a COCO input: those named in the config, then those that are always read, each once."""
    return tuple(dict.fromkeys((*named, *REGION_FIELDS)))
