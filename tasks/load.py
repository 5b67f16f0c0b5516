"""Step 1, `load`: the input's lines become rows, each with its image's size and time.

Adds `line`, `row` (or `raw` where a line is no JSON object), `image` as given and `image_stat`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prefect import State, task
from prefect.cache_policies import NO_CACHE

from regioncap.config.model import RegionCapConfig
from regioncap.records import Row, Shard, Step, loads, rejected, why_broken
from regioncap.run.context import RunContext
from regioncap.run.runs import RUNS
from regioncap.storage.images import Stat
from regioncap.storage.steps import Manifest
from regioncap.tasks.step import StepSpec, run_step

STEP_VERSION = 1

Stats = Callable[[Sequence[str]], list[Stat]]
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

    A reject `bad_json` where it is not JSON, `bad_row` where it is no object with an image.
    """
    # No message names the line: rejects travel through all step files, and a row inserted above would change them.
    place: Row = {"line": line, **({"source": source} if source else {})}
    if broken := why_broken(text):
        return _reject(place, broken[1].decode("utf-8", "backslashreplace"), "bad_row", broken[0])
    raw = text.decode("utf-8", "backslashreplace")
    try:
        found = loads(text)
    except ValueError as error:
        return _reject(place, raw, "bad_json", f"not JSON: {error}")
    if not isinstance(found, dict):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(found), f"a {type(found).__name__}")
        return _reject(place, raw, "bad_row", f"{kind}; expected an object such as {{{image_key!r}: …}}")
    image = found.get(image_key)
    if not isinstance(image, str) or not image.strip():
        got = f"{image_key!r} is {image!r}" if image_key in found else f"there is no key {image_key!r}"
        message = f"expected the path or URL of an image, but {got}; see image_key"
        return {**rejected("load", "bad_row", message), **place, "row": found}
    return {**place, "row": found, "image": image}


def _reject(place: Row, raw: str, code: Any, message: str) -> Row:
    return {**rejected("load", code, message), **place, "raw": raw}


def load_rows(text: bytes, image_key: str, stats: Stats) -> list[Row]:
    """The rows of a packed shard (see `pack`), with what `stats` returns for their images."""
    rows = [load_row(line, source, row, image_key) for line, source, row in unpack(text)]
    good = [row for row in rows if "reject" not in row]
    for row, stat in zip(good, stats([row["image"] for row in good]), strict=True):
        row["image_stat"] = stat
    return rows


def _stats(context: RunContext) -> Stats:
    return lambda images: context.images.stats(images, context.config.image_check, context.threads.io)


def _body(context: RunContext, step: Step) -> list[Row]:
    return load_rows(context.storage.read_bytes(step), context.config.image_key, _stats(context))


def _still_valid(context: RunContext, manifest: Manifest, read: Callable[[], list[Row]]) -> bool:
    """Whether the images still have the size and time that the rows hold."""
    if context.config.image_check == "never":
        return True
    seen = [(row["image"], row["image_stat"]) for row in read() if "image_stat" in row]
    return _stats(context)([image for image, _ in seen]) == [stat for _, stat in seen]


LOAD = StepSpec("load", STEP_VERSION, _body, still_valid=_still_valid)


@task(name="load", task_run_name="load {step.shard:05d}", cache_policy=NO_CACHE)
def load(step: Step, config: RegionCapConfig) -> State[Step]:
    """Step 1: the input's lines of a shard become rows; checks every image's size and time in each run."""
    return run_step(LOAD, RUNS.context(config), step)
