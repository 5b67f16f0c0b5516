"""Parquet with one row per picture and its regions as a list; pyarrow is optional and imported when needed.

Schema (the types of fields are found by a pass over the rows; lists and objects in them become JSON text):

    image       string
    width       int32         pixels, as displayed
    height      int32
    type        string        with_bbox, without_bbox
    regions     list<struct<
        region      int32     1 is <region1>
        bbox        list<double>[4]     x, y, width, height in pixels, as given
        caption     string
        flags       list<string>
        fields      struct<…>           region fields; absent when there are none
    >>
    prompt      string
    captioner   string
    model       string
    row         struct<…>     the row's own keys; absent when there are none
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from regioncap.errors import UsageError
from regioncap.exports.base import ExportOptions, ExportResult, Rows
from regioncap.exports.columns import Columns, Kind, cell
from regioncap.output.reading import Captioned
from regioncap.records import Row
from regioncap.storage.filesystem import Place

ROW_GROUP = 1000


def write_parquet(rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
    """Write one zstd-compressed file with row groups of 1,000 pictures. Raises UsageError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError("--to parquet needs pyarrow: pip install 'regioncap[parquet]'") from None
    done = ExportResult(files=[out.url])
    columns = Columns.of(rows)
    schema = _schema(columns, pa)

    def counted() -> Iterator[Row]:
        for row in rows():
            made = done.made(row, partial(_fitting, row, columns, schema, pa))
            if made is not None:
                done.count(row)
                yield made

    with out.writer() as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        values = counted()
        while batch := list(islice(values, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(batch, schema))
    return done


def _schema(columns: Columns, pa: Any) -> Any:
    kinds = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string(), "none": pa.string()}

    def struct(fields: dict[str, Kind]) -> Any:
        return pa.struct([(name, kinds[kind]) for name, kind in fields.items()])

    region = [
        ("region", pa.int32()),
        ("bbox", pa.list_(pa.float64(), 4)),
        ("caption", pa.string()),
        ("flags", pa.list_(pa.string())),
        *([("fields", struct(columns.regions))] if columns.regions else []),
    ]
    return pa.schema(
        [
            ("image", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("type", pa.string()),
            ("regions", pa.list_(pa.struct(region))),
            ("prompt", pa.string()),
            ("captioner", pa.string()),
            ("model", pa.string()),
            *([("row", struct(columns.rows))] if columns.rows else []),
        ],
        metadata={"regioncap": "one row per picture; bbox: x, y, width, height in pixels"},
    )


def _fitting(row: Captioned, columns: Columns, schema: Any, pa: Any) -> Row:
    made = _row(row, columns)
    pa.Table.from_pylist([made], schema)  # in a row group a value that does not fit would cost all of its rows
    return made


def _row(row: Captioned, columns: Columns) -> Row:
    regions = []
    for place, box in enumerate(row.bbox):
        fields = {n: cell(row.fields[n][place], kind) for n, kind in columns.regions.items() if n in row.fields}
        region = {"region": row.regions[place], "bbox": list(map(float, box)), "caption": row.captions[place]}
        regions.append({**region, "flags": row.flags[place], "fields": fields})
    return {
        "image": row.image,
        "width": row.width,
        "height": row.height,
        "type": row.kind,
        "regions": regions,
        **{name: str(row.meta.get(name, "")) for name in ("prompt", "captioner", "model")},
        "row": {name: cell(row.row.get(name), kind) for name, kind in columns.rows.items()},
    }
