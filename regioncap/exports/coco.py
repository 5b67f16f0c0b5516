"""COCO instances JSON with a `caption` in every annotation: https://cocodataset.org/#format-data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import regioncap
from regioncap.exports.base import Array, ExportOptions, ExportResult, Rows, rows_seen
from regioncap.inputs.grouping import KeySet
from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps, is_number
from regioncap.storage.filesystem import Place

CATEGORY_FIELDS = ("category", "category_name", "label", "class", "class_name", "name")
"""Region fields that may hold a region's category; the first one present is used."""

NO_CATEGORY = "region"
IMAGE_KEYS = ("license", "coco_url", "flickr_url", "date_captured")
RESERVED_KEYS = ("annotation_id", "category_id", *CATEGORY_FIELDS[:1])


class Ids:
    """Keeps given ids that are unique, and issues new ones above them. `highest`: the highest given id."""

    def __init__(self, highest: int) -> None:
        self._next = highest
        self._seen = KeySet()

    def of(self, given: Any) -> Any:
        """The id `given`, if it is valid and not taken; else a new one."""
        if _is_id(given) and self._seen.first_time(dumps(given)):
            return given
        self._next += 1
        return self._next


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


@dataclass
class Categories:
    """Category names by id. The input's come first; a name without an id gets the next free one."""

    names: dict[Any, Row] = field(default_factory=dict)
    _ids: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Sequence[Row]) -> Categories:
        """The categories of the input file."""
        made = cls()
        for category in known:
            if _is_id(category.get("id")):
                made.names[category["id"]] = dict(category)
                made._ids.setdefault(str(category.get("name")), category["id"])
        return made

    def id_of(self, row: Captioned, place: int) -> Any:
        """The id of a region's category, which is added if it is new."""
        fields = _fields_of(row, place)
        given = fields.get("category_id")
        named = next((fields[name] for name in CATEGORY_FIELDS if name in fields), None)
        name = NO_CATEGORY if named is None else named if isinstance(named, str) else dumps(named).decode()
        if _is_id(given):
            if given not in self.names:
                self.names[given] = {"id": given, "name": str(given) if named is None else name}
                self._ids.setdefault(name, given)
            return given
        if name not in self._ids:
            number = 1 + max((one for one in self.names if isinstance(one, int)), default=0)
            self._ids[name] = number
            self.names[number] = {"id": number, "name": name}
        return self._ids[name]

    def listed(self) -> list[Row]:
        """All categories, sorted by id."""
        return [self.names[key] for key in sorted(self.names, key=lambda key: (isinstance(key, str), key))]


def _fields_of(row: Captioned, place: int) -> Row:
    """A region's fields, each by the last part of its name (`objects.category` is `category`) unless another has it."""
    fields: Row = {}
    for name, values in row.fields.items():
        short = name.rpartition(".")[2]
        fields[name if short in row.fields or short in fields or not short else short] = values[place]
    return fields


def image_id_of(row: Captioned) -> Any:
    """The id that the input gave the image, or None."""
    found = row.row.get("image_id", row.row.get("id"))
    return found if _is_id(found) and ("image_id" in row.row or isinstance(found, int)) else None


def write_coco(rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
    """Write one file with `images`, `annotations` and `categories`. Ids are the input's where it has them (`image_id`,
    region fields `annotation_id` and `category_id`); boxes are those of the output."""
    done, highest_image, highest_annotation = ExportResult(files=[out.url]), 0, 0

    def look(row: Captioned) -> None:
        nonlocal highest_image, highest_annotation
        highest_image = max(highest_image, _number(image_id_of(row)))
        given = [_fields_of(row, place).get("annotation_id") for place in range(len(row.bbox))]
        highest_annotation = max(highest_annotation, *map(_number, given), 0)

    rows_seen(rows, look)
    image_ids, annotation_ids = Ids(highest_image), Ids(highest_annotation)
    categories = Categories.of(setting.categories)
    with out.writer() as file, tempfile.TemporaryFile(prefix="regioncap-") as aside:
        info = {"description": "Region captions", "version": regioncap.__version__, "contributor": "RegionCap"}
        file.write(b'{"info":' + dumps(info) + b',\n"licenses":[],\n"images":')
        images, annotations = Array(file), Array(aside)
        for row in rows():
            made = done.made(row, partial(_made, row, image_ids, annotation_ids, categories))
            if made is not None:
                images.add(made[0])
                for annotation in made[1]:
                    annotations.add(annotation)
                done.count(row)
        images.close()
        annotations.close()
        file.write(b',\n"annotations":')
        aside.seek(0)
        shutil.copyfileobj(aside, file)
        file.write(b',\n"categories":' + dumps(categories.listed()) + b"}\n")
    return done


def _made(row: Captioned, image_ids: Ids, annotation_ids: Ids, categories: Categories) -> tuple[bytes, list[bytes]]:
    """A row's image and its annotations."""
    image_id = image_ids.of(image_id_of(row))
    extra = {key: row.row[key] for key in IMAGE_KEYS if key in row.row}
    image = {"id": image_id, "file_name": str(row.ref), "width": row.width, "height": row.height}
    return dumps({**image, **extra}), [dumps(one) for one in _annotations(row, image_id, annotation_ids, categories)]


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _area(box: list[float], width: int, height: int) -> float:
    """The area of an xywh box in square pixels; that of its part inside the image where no float64 holds the whole."""
    area = box[2] * box[3]
    if is_number(area):
        return area
    inside = [
        min(max(start + size, 0), most) - min(max(start, 0), most)
        for start, size, most in ((box[0], box[2], width), (box[1], box[3], height))
    ]
    return inside[0] * inside[1]


def _annotations(row: Captioned, image_id: Any, ids: Ids, categories: Categories) -> Iterator[Row]:
    for place, box in enumerate(row.bbox):
        fields = _fields_of(row, place)
        area, crowd = fields.get("area"), fields.get("iscrowd")
        own = {
            "id": ids.of(fields.get("annotation_id")),
            "image_id": image_id,
            "category_id": categories.id_of(row, place),
            "bbox": box,
            "area": area if is_number(area) else _area(box, row.width, row.height),
            "iscrowd": 0 if crowd is None else crowd,
            "caption": row.captions[place],
        }
        if row.flags[place]:
            own["flags"] = row.flags[place]
        others = {
            name: value for name, value in fields.items() if name not in (*own, *RESERVED_KEYS) and value is not None
        }
        yield {**own, **others}
