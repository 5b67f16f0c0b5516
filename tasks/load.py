"""Step 1, `load`: the input's lines become rows, each with its image's size and time.

Adds `line`, `row` (or `raw` where a line is no JSON object), `image` as given, `image_at` where that lies in a
container (see `regioncap.image_ref`), and `image_stat`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef, ref_of, without_place
from regioncap.records import NestedTooDeep, Row, Shard, Step, loads_given, reason_not_a_row, rejected
from regioncap.row_keys import image_name_at
from regioncap.row_work import guarded
from regioncap.run.context import RunContext
from regioncap.run.runs import RUNS
from regioncap.storage.image_stats import Stat
from regioncap.storage.steps import Manifest
from regioncap.tasks.lazy_task import lazy_task
from regioncap.tasks.step import StepSpec, run_step

if TYPE_CHECKING:
    from prefect import State

STEP_VERSION = 1

Stats = Callable[[Sequence[ImageRef]], list[Stat]]
"""Returns for each of many images what changes when the image does: size and time."""


def pack(shard: Shard) -> bytes:
    """A shard's rows as step 0 stores them: the source's name, then a line `number TAB text` for each row."""
    lines = (b"%d\t%s\n" % (number, text.replace(b"\n", b" ")) for number, text in shard.lines)
    return shard.source.encode("utf-8", "surrogateescape") + b"\n" + b"".join(lines)


def unpack(text: bytes) -> list[tuple[int, str, bytes]]:
    """The (line number, source, text) of every row that `pack` packed."""
    source, *lines = text.split(b"\n")[:-1]
    name = source.decode("utf-8", "backslashreplace")
    numbered = (line.split(b"\t", 1) for line in lines)
    return [(int(number), name, row) for number, row in numbered]


def load_row(line: int, source: str, text: bytes, image_key: str) -> Row:
    """One line of the input as a row.

    A reject `bad_json` where it is not JSON, `bad_row` where it is no object with an image, or nested too deep.
    """
    # No message names the line: rejects travel through all step files, and a row inserted above would change them.
    place: Row = {"line": line, **({"source": source} if source else {})}
    text, image_at = without_place(text)
    loaded = guarded("load", lambda row: _loaded(row, text, image_key), place)
    if image_at and "image" in loaded:
        loaded["image_at"] = image_at
    if "reject" in loaded and "row" not in loaded:
        known = reason_not_a_row(text)
        raw = text if known is None else known[1]
        return {**loaded, **place, "raw": raw.decode("utf-8", "backslashreplace")}
    return loaded


def _loaded(place: Row, text: bytes, image_key: str) -> Row:
    if known := reason_not_a_row(text):
        raise RowReject("bad_row", known[0])
    try:
        found = loads_given(text)
    except NestedTooDeep as error:
        raise RowReject("bad_row", f"{error}, which many programs do not read") from None
    except ValueError as error:
        raise RowReject("bad_json", f"not JSON: {error}") from None
    if not isinstance(found, dict):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(found), f"a {type(found).__name__}")
        raise RowReject("bad_row", f"{kind}; expected an object such as {{{image_key!r}: …}}")
    try:
        return {**place, "row": found, "image": image_name_at(found, image_key)}
    except RowReject as reject:
        return {**rejected("load", reject.code, reject.message), **place, "row": found}


def load_rows(text: bytes, image_key: str, stats: Stats) -> list[Row]:
    """The rows of a packed shard (see `pack`), with what `stats` returns for their images."""
    rows = [load_row(line, source, row, image_key) for line, source, row in unpack(text)]
    good = [row for row in rows if "reject" not in row]
    for row, stat in zip(good, stats([ref_of(row) for row in good]), strict=True):
        row["image_stat"] = stat
    return rows


def _body(context: RunContext, step: Step) -> list[Row]:
    def stats(images: Sequence[ImageRef]) -> list[Stat]:
        found, pages = context.images.stats_and_pages(images, context.config.image_check, context.threads.io)
        context.storage.remembered.keep_pages(step.data, pages)
        return found

    return load_rows(context.storage.read_bytes(step), context.config.image_key, stats)


def _names_image(reject: Row, image_key: str) -> bool:
    """Whether a reject's row names its image in a way that was not read when it was rejected."""
    with suppress(RowReject):
        return "row" in reject and bool(image_name_at(reject["row"], image_key))
    return False


def _still_valid(context: RunContext, manifest: Manifest, read: Callable[[], list[Row]]) -> bool:
    """Whether the images still have the size and time that the rows hold, and no reject names an image after all."""
    if context.config.image_check == "never" and not manifest.rejects:
        return True
    remembered, images = context.storage.remembered, context.images
    pages = remembered.pages(manifest.sha256)
    if pages is not None and images.unchanged(pages):
        remembered.keep_pages(manifest.input_sha256, pages)
        return True
    rows = read()
    if any(_names_image(row, context.config.image_key) for row in rows if "reject" in row):
        return False
    if context.config.image_check == "never":
        return True
    refs = [ref_of(row) for row in rows if "image_stat" in row]
    stats, pages = images.stats_and_pages(refs, context.config.image_check, context.threads.io)
    if stats != [row["image_stat"] for row in rows if "image_stat" in row]:
        return False
    remembered.keep_pages(manifest.input_sha256, pages)
    return True


LOAD = StepSpec("load", STEP_VERSION, _body, still_valid=_still_valid)


@lazy_task("load", "load {step.shard:05d}")
def load(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 1: the input's lines of a shard become rows; checks every image's size and time in each run."""
    return run_step(LOAD, RUNS.context(config), step)
