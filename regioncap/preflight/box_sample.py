"""The boxes of an input's first rows, with the sizes of their pictures: as the rows tell, and as the files' headers do.

Headers are read by many threads at once, and of each file no more than its beginning where that is enough.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef, ref_of
from regioncap.preflight.first_rows import FirstRows
from regioncap.row_keys import boxes_at
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.tasks.load import load_row
from regioncap.vision.frames import Size, stated_size
from regioncap.vision.images import Picture

MAX_PICTURES = 200
"""Rows whose picture is looked at: so many that 5 % of them are no accident."""

MAX_WHOLE = 64
"""Files that are read as a whole because their beginning says too little."""

HEAD_BYTES = 131_072
"""Nearly every header ends within these: an EXIF block has at most 64 KB."""

MAX_BOXES = 20
"""Boxes looked at per row: no row decides for all."""


@dataclass(frozen=True)
class Header:
    """A picture's size as displayed, and its EXIF orientation (1 to 8)."""

    shown: Size
    orientation: int


UNCLEAR = Header((0, 0), 0)
"""Stands for a header that does not end within what was read."""


@dataclass(frozen=True)
class SampledRow:
    """A row with boxes. `boxes`: as given, four finite numbers each. `stated`: the size of its image that the row
    tells. `header`: what its file says; None if it was not looked at, or cannot be read."""

    ref: ImageRef
    boxes: list[list[float]]
    stated: Size | None
    header: Header | None = None


def sample_rows(context: RunContext, first: FirstRows) -> list[SampledRow]:
    """The first rows that have boxes. Raises what reading the input raises."""
    rows = [row for line in first.lines() if (row := _with_boxes(context.config, *line)) is not None]
    count = min(MAX_PICTURES, len(rows))
    spread = {number * len(rows) // count for number in range(count)}
    headers = _headers({rows[place].ref for place in spread}, context)
    return [replace(row, header=headers.get(row.ref) if place in spread else None) for place, row in enumerate(rows)]


def _with_boxes(config: RegionCapConfig, source: str, number: int, text: bytes) -> SampledRow | None:
    row = load_row(number, source, text, config.image_key)
    if "reject" in row:
        return None
    with contextlib.suppress(RowReject), row_work("box_check", row["image"]):
        boxes = boxes_at(row["row"], config.boxes_key) or []
        finite = [[float(number) for number in box if number is not None] for box in boxes]
        finite = [box for box in finite if len(box) == 4][:MAX_BOXES]
        return SampledRow(ref_of(row), finite, stated_size(row["row"])) if finite else None
    return None


def _headers(refs: set[ImageRef], context: RunContext) -> dict[ImageRef, Header]:
    """The headers of these files, as far as they can be read."""
    tried = list(
        zip(refs, context.threads.io.map(partial(_header, context=context, size=HEAD_BYTES), refs), strict=True)
    )
    unclear = [ref for ref, header in tried if header is UNCLEAR][:MAX_WHOLE]
    tried += zip(unclear, context.threads.io.map(partial(_header, context=context), unclear), strict=True)
    return {ref: header for ref, header in tried if header is not None and header is not UNCLEAR}


def _header(ref: ImageRef, context: RunContext, size: int | None = None) -> Header | None:
    """What the first `size` bytes of a file tell, or all of it. None: it cannot be read; `UNCLEAR`: more may tell."""
    with contextlib.suppress(RowReject), row_work("box_check", ref):
        data = context.images.read(ref) if size is None else context.images.read_head(ref, size)
        try:
            picture = Picture(data, max_image_pixels=context.config.max_image_pixels)
        except RowReject:
            return UNCLEAR if len(data) == size else None
        return Header((picture.info.width, picture.info.height), picture.orientation)
    return None
