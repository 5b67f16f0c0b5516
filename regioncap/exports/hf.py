"""A Hugging Face data set: a folder of Parquet files with the images in them, and a card.

`datasets.load_dataset(folder)` reads it; so does everything else that reads Parquet. Columns:

    image             Image             the unmodified file: {bytes, path}
    source            string            the image as the output names it
    width, height     int32             pixels, as displayed
    type              string            with_bbox, without_bbox
    regions           [int32]           1 is <region1>; the lists below are parallel to it
    captions          [string]
    bbox              [[float64] x 4]   x, y, width, height in pixels, as given
    normalized_bbox   [[float64] x 4]   left, top, right, bottom over width and height, clipped
    flags             [[string]]

Then a list for each region field, and a column for each of the row's own keys, under their names, prefixed with
`field_` or `row_` if the name is taken; lists and objects in them, and values of mixed types, as JSON text.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from regioncap.errors import UsageError
from regioncap.exports.base import ExportOptions, ExportResult, Rows
from regioncap.exports.columns import Columns, cell, unused_name
from regioncap.exports.hf_card import card_of, is_ours
from regioncap.exports.hf_features import DTYPES, Feature, ImageOf, Many, arrow_schema
from regioncap.exports.with_images import with_images
from regioncap.output.reading import Captioned
from regioncap.records import Row
from regioncap.storage.filesystem import Place
from regioncap.storage.row_images import file_name_in
from regioncap.storage.urls import without_query
from regioncap.vision.boxes import normalize_xywh

ROWS_PER_GROUP = 100
BYTES_PER_GROUP = 64_000_000
"""A row group ends at either; readers take one into memory at a time, and so does this export."""

BYTES_PER_FILE = 500_000_000
"""Of images; what the Hub's own writer aims at."""

FIXED: dict[str, Feature] = {
    "image": ImageOf(), "source": "string", "width": "int32", "height": "int32", "type": "string",
    "regions": Many("int32"), "captions": Many("string"), "bbox": Many(Many("float64", 4)),
    "normalized_bbox": Many(Many("float64", 4)), "flags": Many(Many("string")),
}  # fmt: skip

Sample = tuple[Captioned, Row, int]
"""A row, what is written of it, and the size of its image in bytes."""


def write_hf(rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
    """Write `data/train-00000-of-00001.parquet`, … and `README.md` to the folder `out`; all of the files, or none.

    Rows whose image cannot be read are left out and counted. The files of an earlier export are replaced; of its card
    only the description of the data. Raises UsageError without pyarrow, and for a folder with other Parquet files.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise UsageError("--to hf needs pyarrow: pip install 'regioncap[parquet]'") from None
    folder, card = out.child("data"), out.child("README.md")
    earlier_card = card.read().decode("utf-8", "replace") if card.size() is not None else ""
    earlier = [name for name in folder.names() if re.fullmatch(r"train-\d{5}-of-\d{5}\.parquet", name)]
    if earlier and not is_ours(earlier_card):
        raise UsageError(f"--output: {folder.url} has Parquet files that are no export; choose another folder")
    layout, done = Layout.of(Columns.of(rows)), ExportResult()
    schema = arrow_schema(layout.features, pa)
    samples = with_images(rows(), setting, done, partial(_sample, layout=layout, schema=schema))
    parts: list[Place] = []
    try:
        first = next(samples, None)
        while first is not None:
            parts.append(folder.child(f".{uuid.uuid4().hex}.part"))
            first = _fill(parts[-1], schema, chain([first], samples), done)
        if parts:
            done.files = _publish(parts, folder, earlier)
            card.write(card_of(earlier_card, layout.features).encode())
    finally:
        for part in parts:
            part.remove()
    return done


def _fill(place: Place, schema: Any, samples: Iterator[Sample], done: ExportResult) -> Sample | None:
    """Write samples to one file until it is full. Returns the first sample that did not fit."""
    import pyarrow.parquet as pq

    group: list[Row] = []
    group_bytes = file_bytes = 0
    # No dictionaries: images would fill them in vain, and zstd finds repeated texts, too.
    with place.writer() as file, pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer:
        for sample in samples:
            row, values, size = sample
            is_full = file_bytes and file_bytes + size > BYTES_PER_FILE
            if group and (is_full or len(group) >= ROWS_PER_GROUP or group_bytes + size > BYTES_PER_GROUP):
                _write_group(writer, group, schema)
                group_bytes = 0
            if is_full:
                return sample
            group.append(values)
            group_bytes, file_bytes = group_bytes + size, file_bytes + size
            done.count(row)
        if group:
            _write_group(writer, group, schema)
    return None


def _write_group(writer: Any, group: list[Row], schema: Any) -> None:
    import pyarrow as pa

    writer.write_table(pa.Table.from_pylist(group, schema), row_group_size=len(group))
    group.clear()


def _publish(parts: list[Place], folder: Place, earlier: list[str]) -> list[str]:
    """Give the files their names, in the place of an earlier export's. Returns their URLs."""
    names = [f"train-{number:05d}-of-{len(parts):05d}.parquet" for number in range(len(parts))]
    for part, name in zip(parts, names, strict=True):
        part.move_to(folder.child(name))
    for name in set(earlier) - set(names):
        folder.child(name).remove()
    return [folder.child(name).url for name in names]


@dataclass(frozen=True)
class Layout:
    """The columns of a data set. `fields`, `own`: the columns of region fields and of the rows' own keys, by name."""

    columns: Columns
    fields: dict[str, str]
    own: dict[str, str]

    @classmethod
    def of(cls, columns: Columns) -> Layout:
        """The columns that the rows' fields need beside the fixed ones."""
        fields = {name: unused_name(name, FIXED, "field_") for name in columns.regions}
        own = {name: unused_name(name, (*FIXED, *fields.values()), "row_") for name in columns.rows}
        return cls(columns, fields, own)

    @property
    def features(self) -> dict[str, Feature]:
        """All columns."""
        fields = {column: Many(DTYPES[self.columns.regions[name]]) for name, column in self.fields.items()}
        return {**FIXED, **fields, **{column: DTYPES[self.columns.rows[name]] for name, column in self.own.items()}}

    def values(self, row: Captioned, image: bytes, path: str) -> Row:
        """What is written of a row."""
        kinds = self.columns
        return {
            "image": {"bytes": image, "path": path},
            "source": str(row.ref),
            "width": row.width,
            "height": row.height,
            "type": row.kind,
            "regions": row.regions,
            "captions": row.captions,
            "bbox": [list(map(float, box)) for box in row.bbox],
            "normalized_bbox": [normalize_xywh(box, row.width, row.height) for box in row.bbox],
            "flags": row.flags,
            **{
                column: [cell(value, kinds.regions[name]) for value in row.fields.get(name, [None] * len(row.regions))]
                for name, column in self.fields.items()
            },
            **{column: cell(row.row.get(name), kinds.rows[name]) for name, column in self.own.items()},
        }


def _sample(row: Captioned, image: bytes, ending: str, *, layout: Layout, schema: Any) -> Sample:
    import pyarrow as pa

    values = layout.values(row, image, _path_of(row, ending))
    # In a row group a value that does not fit would cost all of its rows.
    pa.Table.from_pylist([{**values, "image": None}], schema)
    return row, values, len(image)


def _path_of(row: Captioned, ending: str) -> str:
    """The name of the image's file, without its folders; of one without a name, the row's number."""
    if row.image.startswith("data:"):
        name = file_name_in(row.image)
    else:  # the rows of a Parquet file share its name
        name = "" if row.ref.row is not None else without_query(row.image.partition("::")[0])
    stem = name.replace("\\", "/").rstrip("/").rpartition("/")[2].rpartition(".")[0]
    return f"{stem or format(row.number, '09d')}.{ending}"
