"""One row's marks: how its marked pictures are drawn, for whichever step comes to it first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef, ref_of
from regioncap.records import Row
from regioncap.run.context import RunContext
from regioncap.storage.image_errors import shown_image
from regioncap.vision.drawing import draw_marks, mark_warnings
from regioncap.vision.images import Picture, encode_jpeg


def read_unchanged(row: Row, read: Callable[[ImageRef], bytes]) -> bytes:
    """The bytes of the row's image. Raises RowReject `image_unavailable` if they are not what `extract` saw."""
    data = read(ref_of(row))
    if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
        raise RowReject(
            "image_unavailable", f"{shown_image(row['image'])} changed during the run; rerun to read it again"
        )
    return data


def groups_of(row: Row, config: RegionCapConfig) -> list[tuple[int, ...]]:
    """The numbers, from 1, of the row's regions, grouped by the picture that shows them: the row's own `groups`, which
    an audit sets, else as the config has it."""
    return [tuple(group) for group in row["groups"]] if "groups" in row else config.groups_of(len(row["bbox"]))


def draw_row(row: Row, read: Callable[[ImageRef], bytes], config: RegionCapConfig) -> tuple[Row, list[bytes]]:
    """One row with its marks, and JPEGs: the marked picture, then those of its parts where there are any.

    Raises RowReject `image_unavailable` if the image changed, and what reading it raises.
    """
    picture = Picture(read_unchanged(row, read), max_image_pixels=config.max_image_pixels)
    return draw_picture(row, picture, config)


def draw_picture(row: Row, picture: Picture, config: RegionCapConfig) -> tuple[Row, list[bytes]]:
    """As `draw_row`, of the row's image when it is open already."""
    image = picture.pixels(max_pixels=config.max_pixels)
    size = (row["width"], row["height"])
    height, width = image.shape[:2]
    groups = groups_of(row, config)
    shown = [None, *(groups if len(groups) > 1 else [])]
    if config.draws_marks:
        jpegs = []
        for at, only in enumerate(shown):
            last = at == len(shown) - 1
            drawn = draw_marks(image, row["bbox"], full_size_wh=size, dim=config.dim, only=only, copy=not last)
            jpegs.append(encode_jpeg(drawn, config.jpeg_quality))
    else:
        jpegs = [encode_jpeg(image, config.jpeg_quality)] * len(shown)
    names = [hashlib.sha256(jpeg).hexdigest() for jpeg in jpegs]
    drawn_row: Row = {**row, "marked": {"sha256": names[0], "width": width, "height": height}}
    if len(groups) > 1:
        drawn_row["parts"] = [
            {"regions": list(group), "sha256": name} for group, name in zip(groups, names[1:], strict=True)
        ]
    marks = mark_warnings(row["bbox"], full_size_wh=size, model_size_wh=(width, height))
    return {**drawn_row, "warnings": row.get("warnings", []) + marks}, jpegs


def marked_jpeg(row: Row, context: RunContext, part: int | None = None) -> bytes:
    """The row's marked JPEG, or that of one of its parts (from 0); drawn now if it is gone, or was never drawn.

    Raises RowReject as `draw_row` does.
    """
    if "marked" in row:
        found = context.marks.get((row["marked"] if part is None else row["parts"][part])["sha256"])
        if found is not None:
            return found
    return draw_row(row, context.images.read, context.config)[1][0 if part is None else part + 1]
