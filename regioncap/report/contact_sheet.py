"""Makes contact sheets: a sample of an output's marked pictures and captions in one picture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from regioncap.errors import RowReject, UsageError
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned, Written
from regioncap.output.where import Condition, chosen
from regioncap.row_work import row_work
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.storage.row_images import readable_name
from regioncap.vision.drawing import draw_marks
from regioncap.vision.images import Pixels, decode, encode_image
from regioncap.vision.libraries import image_libraries
from regioncap.vision.sheet import Cell, draw_sheet

QUALITY = 88
PICTURE_PIXELS = 1_003_520
NO_LIMIT = 1 << 62


@image_libraries
def sheet_of(
    written: Written,
    files: Filesystems,
    out: Place,
    *,
    rows: int,
    columns: int | None = None,
    width: int = 1600,
    where: Sequence[str] = (),
    font: str | None = None,
) -> int:
    """Write a sheet of at most `rows` pictures, evenly sampled from those that meet `where`; return their number.

    `columns`: pictures per line; None derives it from their number. `width`: of the sheet, in pixels. `font`: a font
    file to try first. Raises UsageError if no row meets `where`, if `out` does not end in .jpg, .png or .webp, or if
    the font cannot be read.
    """
    ending = PurePosixPath(out.name.lower()).suffix
    if ending not in (".jpg", ".jpeg", ".png", ".webp"):
        raise UsageError(f"{out.url}: expected a file name that ends in .jpg, .png or .webp")
    sample = even_sample(written, rows, where)
    if not sample:
        raise UsageError(f"{written.place.url}: expected captioned rows that meet all conditions")
    pictures = Pictures(written, files)
    out.write(sheet_bytes(sample, pictures, ending, columns=columns, width=width, font=font))
    return len(sample)


def even_sample(written: Written, most: int, where: Sequence[str] = ()) -> list[Captioned]:
    """At most `most` rows, evenly spaced among those that meet all conditions. Reads the output twice."""

    def rows() -> Iterator[Captioned]:
        return chosen(written.rows(), [Condition.of(text) for text in where])

    count = sum(1 for _ in rows())
    sampled = {index * count // most for index in range(most)} if count > most else set(range(count))
    return [row for index, row in enumerate(rows()) if index in sampled]


def sheet_bytes(
    rows: Sequence[Captioned],
    pictures: Pictures,
    ending: str = ".jpg",
    *,
    columns: int | None = None,
    width: int = 1600,
    font: str | None = None,
) -> bytes:
    """The sheet of these rows as an image file. Raises UsageError as `sheet_of` does."""
    cells = [
        Cell(_marked(row, pictures), readable_name(str(row.ref)), list(zip(row.regions, row.captions, strict=True)))
        for row in rows
    ]
    try:
        return encode_image(draw_sheet(cells, width=width, columns=columns, font=font), ending, QUALITY)
    except OSError as error:
        raise UsageError(f"--font {font}: cannot be read as a font: {error}") from None
    except ValueError as error:
        raise UsageError(f"the sheet is too large: {error}; lower --rows or --width") from None


def _marked(row: Captioned, pictures: Pictures) -> Pixels | None:
    """The row's stored marked picture, else one drawn now; None if its image cannot be read."""
    kept = pictures.marked(row)
    with contextlib.suppress(RowReject), row_work("sheet", row.image):
        if kept is not None:
            return decode(kept, max_image_pixels=NO_LIMIT)
        image = decode(pictures.read(row.ref), max_image_pixels=NO_LIMIT, max_pixels=PICTURE_PIXELS)
        return draw_marks(image, row.bbox, full_size_wh=(row.width, row.height), dim=1.0)
    return None
