"""Draws contact sheets: a grid of pictures with numbered lines of text under each. Arrays in, an array out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from regioncap.vision.drawing import PALETTE_RGB

Pixels = npt.NDArray[np.uint8]
Font = ImageFont.FreeTypeFont

FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "Arial Unicode.ttf",
    "Arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "PingFang.ttc",
    "msyh.ttc",
    "wqy-zenhei.ttc",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
)
"""Fonts looked up on the system after Pillow's own (Latin only); the first that has a text's glyphs is used."""

GROUND, INK, SOFT, PLACE = (255, 255, 255), (28, 31, 36), (110, 116, 128), (236, 238, 242)
MAX_HEIGHT_SHARE = 0.85
"""Maximum height of a picture, as a fraction of its column's width."""

MAX_TEXTS = 8
MAX_LINES = 3
MAX_CHARS = 400
"""Maximum number of texts under a picture, of lines per text, and of characters per text."""


@dataclass(frozen=True)
class Cell:
    """A picture (HxWx3 uint8, BGR; None if missing), its name, and the (number, text) pairs below it. Numbers have the
    colours of the marks in `regioncap.vision.drawing`."""

    picture: Pixels | None
    name: str
    texts: Sequence[tuple[int, str]]


@dataclass(frozen=True)
class _Measures:
    """Dimensions in pixels: `width` of a column, `gap` between columns, font `size`, height of a `line`."""

    width: int
    gap: int
    size: int
    line: int


def scaled_to(image: Pixels, long_side: int) -> Pixels:
    """`image` (HxWx3 uint8, BGR), larger or smaller, with a longer side of `long_side` pixels."""
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=how).astype(np.uint8, copy=False)


def draw_sheet(cells: Sequence[Cell], *, width: int, columns: int | None = None, font: str | None = None) -> Pixels:
    """A grid of `cells`, row by row: HxWx3 uint8, BGR, `width` pixels wide.

    `columns`: None derives it from the number of cells. `font`: a font file that is tried first. Raises ValueError for
    no cells, OSError for a font that cannot be read.
    """
    if not cells:
        raise ValueError("expected at least one picture, got none")
    columns = min(columns or _columns(len(cells)), len(cells))
    gap = max(8, width // 64)
    column = (width - gap * (columns + 1)) // columns
    size = max(11, min(20, round(column / 26)))
    measures = _Measures(column, gap, size, round(size * 1.4))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(_height(cell, measures, font) for cell in row) for row in rows]
    sheet = Image.new("RGB", (width, sum(heights) + gap * (len(rows) + 1)), GROUND)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for place, cell in enumerate(row):
            _draw(sheet, cell, (gap + place * (column + gap), top), measures, font)
        top += height + gap
    return cv2.cvtColor(np.asarray(sheet), cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)


def _columns(count: int) -> int:
    return max(1, min(6, math.ceil(math.sqrt(count))))


def _picture_size(cell: Cell, measures: _Measures) -> tuple[int, int]:
    if cell.picture is None:
        return measures.width, measures.width // 2
    height, width = cell.picture.shape[:2]
    scale = min(measures.width / width, MAX_HEIGHT_SHARE * measures.width / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _texts(cell: Cell, measures: _Measures, font: str | None) -> Iterator[tuple[int, list[str], Font]]:
    """(number or 0, lines, their font) of every text under the picture."""
    more = len(cell.texts) - MAX_TEXTS
    shown = list(cell.texts[: MAX_TEXTS - 1] if more > 0 else cell.texts)
    for number, text in shown:
        chosen = _font_for(text[:MAX_CHARS], measures.size, font)
        yield number, _wrapped(text, chosen, measures.width - _indent(measures)), chosen
    if more > 0:
        yield 0, [f"and {more + 1} more regions"], _font_for("", measures.size, font)


def _indent(measures: _Measures) -> int:
    return round(measures.size * 1.9)


def _height(cell: Cell, measures: _Measures, font: str | None) -> int:
    lines = sum(len(lines) for _, lines, _ in _texts(cell, measures, font))
    gaps = len(cell.texts[:MAX_TEXTS]) * (measures.size // 4)
    return _picture_size(cell, measures)[1] + round(measures.line * 1.3) + lines * measures.line + gaps


def _draw(sheet: Image.Image, cell: Cell, at: tuple[int, int], measures: _Measures, font: str | None) -> None:
    draw = ImageDraw.Draw(sheet)
    x, y = at
    width, height = _picture_size(cell, measures)
    if cell.picture is None:
        draw.rectangle((x, y, x + width, y + height), fill=PLACE)
        draw.text((x + width / 2, y + height / 2), "no picture", SOFT, _own_font(measures.size), anchor="mm")
    else:
        smaller = width < cell.picture.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        resized = cv2.resize(cell.picture, (width, height), interpolation=how)
        sheet.paste(Image.fromarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)), (x, y))
    y += height + measures.line // 4
    name_font = _font_for(cell.name, measures.size - 1, font)
    draw.text((x, y), _ended(cell.name, name_font, measures.width), SOFT, name_font)
    y += measures.line
    for number, lines, chosen in _texts(cell, measures, font):
        y += measures.size // 4
        if number:
            _draw_number(draw, number, (x, y), measures)
        for line in lines:
            draw.text((x + _indent(measures), y), line, INK if number else SOFT, chosen)
            y += measures.line


def _draw_number(draw: ImageDraw.ImageDraw, number: int, at: tuple[int, int], measures: _Measures) -> None:
    x, y = at
    colour = PALETTE_RGB[(number - 1) % len(PALETTE_RGB)]
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    side = round(measures.size * 1.45)
    draw.rounded_rectangle((x, y, x + side, y + measures.line - 2), measures.size // 5, fill=colour)
    middle = (x + side / 2, y + (measures.line - 2) / 2)
    draw.text(middle, str(number), (0, 0, 0) if light else GROUND, _own_font(measures.size - 2), anchor="mm")


# --- text


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels; an ellipsis marks omitted text."""
    lines: list[str] = []
    line = ""
    cut = len(text) > MAX_CHARS
    for piece in _pieces(" ".join(text[:MAX_CHARS].split()), font, width):
        joined = f"{line}{piece}"
        if line and font.getlength(joined.rstrip()) > width:
            lines.append(line.rstrip())
            line = piece.lstrip()
            if len(lines) == MAX_LINES:
                cut = True
                break
        else:
            line = joined
    else:
        lines.append(line.rstrip())
    if cut:
        lines[-1] = _ended(f"{lines[-1]} …", font, width)
    return lines


def _pieces(text: str, font: Font, width: int) -> Iterator[str]:
    """Units between which lines may break: words, and single characters of overlong words and of CJK text."""
    for word in text.split(" "):
        piece = f"{word} "
        if font.getlength(piece) > width or any(sign >= "\u2e80" for sign in word):
            yield from word
            yield " "
        else:
            yield piece


def _ended(text: str, font: Font, width: int) -> str:
    """`text`, truncated with an ellipsis to at most `width` pixels."""
    text = text[:MAX_CHARS]
    if font.getlength(text) <= width:
        return text
    text = text.removesuffix("…").rstrip()
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _font_for(text: str, size: int, first: str | None) -> Font:
    """The first of the fonts that lack the fewest characters of `text`."""
    fonts = [_font(first, size)] if first else []
    fonts += [_own_font(size), *_system_fonts(size)]
    signs = {sign for sign in text if not sign.isspace()}
    best, missing = fonts[0], len(signs) + 1
    for font in fonts:
        lacks = sum(not _has(font, sign) for sign in signs)
        if lacks < missing:
            best, missing = font, lacks
        if not missing:
            break
    return best


@lru_cache(maxsize=64)
def _font(path: str, size: int) -> Font:
    return ImageFont.truetype(path, size)


@lru_cache(maxsize=64)
def _own_font(size: int) -> Font:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # with a size, Pillow returns its bundled TrueType font
    return font


@lru_cache(maxsize=64)
def _system_fonts(size: int) -> list[Font]:
    found = []
    for name in FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return found


@lru_cache(maxsize=20_000)
def _has(font: Font, sign: str) -> bool:
    """Whether `font` has a glyph for `sign`: it then differs from the glyph of a character that no font has."""
    return bytes(font.getmask(sign)) != bytes(font.getmask("\U0010fffe"))
