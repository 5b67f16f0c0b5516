"""What each region finder finds in rows of an input, drawn side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from regioncap.command.try_row import Say, load_line, or_raise, routed, say_image
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject, UsageError
from regioncap.image_ref import ref_of
from regioncap.output.jsonl import region_lists
from regioncap.preflight.first_rows import FirstRows
from regioncap.preflight.named_keys import check_named_keys
from regioncap.records import WITH_BBOX, WITHOUT_BBOX, Row, cut_text
from regioncap.registry import EXTRACTORS
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place
from regioncap.tasks.extract import ReadImage, extract_row, model_asked
from regioncap.tasks.normalize import normalize_row
from regioncap.vision.drawing import Pixels, draw_marks
from regioncap.vision.found_regions import LABEL, SCORE
from regioncap.vision.images import Picture, encode_image
from regioncap.vision.libraries import image_libraries
from regioncap.vision.sheet import Cell, draw_sheet, scaled_to

GIVEN = "given"
"""What the boxes are called that a row has already."""

MAX_ROWS = 20
COLUMN_WIDTH = 520
"""In pixels."""

QUALITY = 90
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Finder:
    """A region finder. `find`: gives a row after `route`, whose image is read by a function, its regions, as
    `extract_row` does."""

    name: str
    find: Callable[[Row, ReadImage], Row]


@dataclass(frozen=True)
class Shown:
    """What a finder found in a row. `boxes`: xywh in pixels of the picture. `texts`: (number of a region, or 0, text)
    for below the picture."""

    title: str
    boxes: list[list[float]]
    texts: list[tuple[int, str]]


@dataclass(frozen=True)
class LookedAt:
    """A row, with what was found in it. `image`: HxWx3 uint8, BGR, of a picture of `size_wh` pixels. `given`: the boxes
    that the row has."""

    line: int
    image: Pixels
    size_wh: tuple[int, int]
    given: Shown | None
    found: list[Shown]


def config_of_finders(settings: Mapping[str, Any]) -> RegionCapConfig:
    """The config of settings that need not say how to caption. Raises UsageError, ConfigError."""
    says_how = any(settings.get(name) for name in ("captioner", "endpoint", "model"))
    return RegionCapConfig(**(dict(settings) if says_how else {**settings, "captioner": "pixels"}))


def finders_of(context: RunContext) -> list[Finder]:
    """Ours, then the one that the config names, if it is a plugin or a model that is asked. Raises UsageError."""
    config = context.config
    settings = {name: config.model_copy(update={"extractor": name}) for name in EXTRACTORS}
    finders = [Finder(name, partial(extract_row, config=settings[name])) for name in EXTRACTORS]
    if config.own_extractor:
        finders.append(Finder(config.extractor, partial(extract_row, config=config, finder=context.finder)))
    if config.asks_for_regions:
        asked = partial(extract_row, config=config, asked=model_asked(context))
        finders.append(Finder(f"{config.extractor} ({config.finder_model})", asked))
    return finders


@image_libraries
def show_regions(config: RegionCapConfig, lines: Sequence[int], picture: str | None, say: Say) -> bool:
    """Draw what each finder finds in the rows at `lines` (from 1) into the file `picture`, and `say` it. Returns
    whether all of these rows could be drawn.

    Raises UsageError for a line that does not exist, too many lines, and a file that is no picture; CaptionerError.
    """
    if len(lines) > MAX_ROWS:
        raise UsageError(f"--row: expected at most {MAX_ROWS} rows for one picture, got {len(lines)}")
    with contextlib.closing(RunContext(config)) as context:
        place = _place_of(picture, context)
        if config.asks_for_regions:
            context.region_model.check()
        check_named_keys(config, FirstRows(context))
        finders = finders_of(context)
        rows: list[LookedAt] = []
        # All of them first: a model is asked for nothing if one does not exist.
        for line, loaded in {line: load_line(context, line) for line in lines}.items():
            say(f"row          {line}")
            try:
                with row_work("try", f"line {line}"):
                    rows.append(_look_at(line, loaded, finders, context, say))
            except RowReject as reject:
                say(f"rejected     {reject.code}: {reject.message}")
        if rows:
            place.write(_sheet(rows, PurePosixPath(place.name.lower()).suffix))
            say(f"picture      {place.url}")
        return len(rows) == len(set(lines))


def _place_of(picture: str | None, context: RunContext) -> Place:
    stem = PurePosixPath(context.config.input.rstrip("/")).name.partition(".")[0] or "input"
    place = context.files.place(picture or f"{stem}.regions.jpg")
    if not place.name.lower().endswith(ENDINGS):
        raise UsageError(f"--picture {place.url}: expected a file name that ends in .jpg, .png or .webp")
    return place


def _look_at(line: int, loaded: Row, finders: Sequence[Finder], context: RunContext, say: Say) -> LookedAt:
    """The row at `line`, after `load`, with what each finder finds in it. Raises RowReject where there can be
    nothing."""
    config = context.config
    say_image(or_raise(loaded), context, say)
    data = context.images.read(ref_of(loaded))
    picture = Picture(data, max_image_pixels=config.max_image_pixels)
    picture.check()
    row = routed(loaded, config)
    given = None
    if row["type"] == WITH_BBOX:
        given = _found(Finder(GIVEN, partial(extract_row, config=config)), row, data, config)
        _say_found(given, say)
    found = []
    for finder in finders:
        found.append(_found(finder, {**row, "type": WITHOUT_BBOX}, data, config))
        _say_found(found[-1], say)
    size = (picture.info.width, picture.info.height)
    # At the size at which it is shown, so that the marks are as large on every picture.
    image = scaled_to(picture.pixels(long_side=COLUMN_WIDTH), COLUMN_WIDTH)
    return LookedAt(line, image, size, given, found)


def _say_found(shown: Shown, say: Say) -> None:
    boxes = f", xywh: {shown.boxes}" if shown.boxes else ""
    say(f"found        {cut_text(shown.title + boxes)}")
    for number, text in shown.texts:
        say(f"             {f'{number}: {text}' if number else text}")


def _found(finder: Finder, row: Row, data: bytes, config: RegionCapConfig) -> Shown:
    """What a finder finds in a row, or why it finds nothing."""
    try:
        with row_work("try", row["image"]):
            found = or_raise(normalize_row(or_raise(finder.find(row, lambda _: data)), config))
    except RowReject as reject:
        return Shown(f"{finder.name}: none", [], [(0, f"{reject.code}: {reject.message}")])
    count = len(found["bbox"])
    texts = [(number, text) for number, text in enumerate(_names(found), start=1) if text]
    dropped = [f"{drop['reason']}: {drop.get('text') or drop['bbox']}" for drop in found["dropped_bbox"]]
    notes = [*found.get("warnings", []), *(f"dropped, {drop}" for drop in dropped)]
    texts += [(0, note) for note in notes]
    return Shown(f"{finder.name}: {count} region{'' if count == 1 else 's'}", found["bbox"], texts)


def _names(found: Row) -> list[str]:
    """What the finder says of each region: its label, its score."""
    lists = region_lists(found.get("region_fields", ()))
    names = []
    for at in range(len(found["bbox"])):
        told = [lists[name][at] for name in (LABEL, SCORE) if name in lists]
        names.append(", ".join(str(value) for value in told if value is not None))
    return names


def _sheet(rows: Sequence[LookedAt], ending: str) -> bytes:
    """One line of pictures for each row, with the same finders below each other."""
    any_given = any(row.given for row in rows)
    cells = []
    for row in rows:
        given = [row.given or Shown(f"{GIVEN}: none", [], [])] if any_given else []
        for shown in (*given, *row.found):
            marked = draw_marks(row.image, shown.boxes, full_size_wh=row.size_wh, dim=1.0)
            cells.append(Cell(marked, f"{shown.title} (row {row.line})", shown.texts))
    columns = len(cells) // len(rows)
    return encode_image(draw_sheet(cells, width=COLUMN_WIDTH * columns, columns=columns), ending, QUALITY)
