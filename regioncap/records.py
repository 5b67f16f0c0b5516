"""The values that travel between steps, and the one JSON codec that reads and writes them.

A row is a plain dict; which keys it has after which step is listed in docs/cache.md. Rows live in step
files and inside step bodies, never in task parameters: walking them costs Prefect more than the step itself.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import orjson

from regioncap.errors import RETRYABLE_CODES, RejectCode, RowReject
from regioncap.masking import outside_text

Row = dict[str, Any]

MAX_DEPTH = 200
"""Lists and objects that may lie within each other in what a row holds: so deep everything reads and writes them."""

QUOTED_CHARS = 200
"""The most that one message quotes of a row's data."""

MAX_REJECT_CHARS = 2000
"""The longest message of a reject, our own words included."""

# orjson turns integers beyond 64 bits into floats; a line with that many digits takes the slow, exact way. A time in
# nanoseconds, which every row of a disk's images has, has 19 and is not beyond.
_LONG_INTEGER = re.compile(rb"[-\d]\d{19}")
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of the input: the unit of parallel work and of caching.

    `index`: place in the input, from 0. `source`: the file's name when the input has several files, else "".
    `lines`: one (line number from 1, text without line end) a row. `share`: share of the whole input that these
    rows make up, 0..1, as well as the reader can tell. `images`: those that the rows held themselves, by the names that
    the rows have in their place.
    """

    index: int
    source: str
    lines: list[tuple[int, bytes]]
    share: float
    images: dict[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Step:
    """What a step has made of one shard: a reference to its file, never the rows.

    `index`: 0 (the input) to 6 (`caption`). `shard`: number of the shard. `key`: hex digest that names the work.
    `data`: sha256 of the file. `rows`, `rejects`: how many rows it holds, and how many of those are rejects.
    """

    index: int
    shard: int
    key: str
    data: str
    rows: int
    rejects: int


@dataclass
class Counts:
    """What a run has done and used; every number only grows."""

    rows: int = 0
    """Rows that are done, rejected ones included."""
    rows_reused: int = 0
    """Of those, the ones whose shards were in the cache."""
    rejects: int = 0
    regions_asked: int = 0
    """Pictures whose regions a model was asked for."""
    captions_asked: int = 0
    captions_new: int = 0
    captions_repaired: int = 0
    captions_audited: int = 0
    requests: int = 0
    requests_retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    batch_prompt_tokens: int = 0
    batch_completion_tokens: int = 0
    """Of the tokens, those of a provider's batches, which have another price."""
    answers_without_usage: int = 0
    """Answers whose tokens the server did not count: they are estimated."""
    finish_reasons: dict[str, int] = field(default_factory=dict)
    step_seconds: dict[str, float] = field(default_factory=dict)

    def add(self, more: Counts) -> None:
        """Add all numbers of `more`."""
        for name, value in vars(more).items():
            setattr(self, name, _plus(getattr(self, name), value))

    def includes(self, others: Counts) -> bool:
        """Whether no number is smaller than that of `others`: so it is for counts that were copied later."""
        return all(value >= getattr(others, name) for name, value in vars(self).items() if not isinstance(value, dict))

    def since(self, earlier: Counts) -> Counts:
        """What was added after `earlier`, a copy of these counts."""
        return Counts(**{name: _plus(value, getattr(earlier, name), sign=-1) for name, value in vars(self).items()})


def _plus(left: Any, right: Any, sign: int = 1) -> Any:
    """The sum of two numbers, or of two dicts of numbers by key."""
    if isinstance(left, dict):
        return {key: left.get(key, 0) + sign * right.get(key, 0) for key in left | right}
    return left + sign * right


def rejected(step: str, code: RejectCode, message: str, **kept: Any) -> Row:
    """A row's place after it was rejected: `{"reject": {step, code, message}}` and what is worth keeping."""
    return {"reject": {"step": step, "code": code, "message": cut_text(message, MAX_REJECT_CHARS)}, **kept}


def count_rejects(rows: Iterable[Row], step: str) -> tuple[int, int]:
    """(all rejects among `rows`, those of `step` that a later run may cure and that do not rest)."""
    rejects = [row["reject"] for row in rows if "reject" in row]
    return len(rejects), sum(r["step"] == step and r["code"] in RETRYABLE_CODES and "rests" not in r for r in rejects)


def dumps(value: Any) -> bytes:
    """`value` as one line of UTF-8 JSON, without spaces; keys in the order that they have.

    Takes every JSON value, integers of any size and unpaired surrogates included; NaN and infinities become null.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        text = json.dumps(jsonable(value), separators=(",", ":"))
        return text.encode("ascii")


def dumps_sorted(value: Any) -> bytes:
    """As `dumps`, with the keys of all objects in the order of their characters: equal values give equal bytes."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return dumps(_sorted(value))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


def loads(text: bytes) -> Any:
    """The value of JSON `text`; integers of any size stay exact, `NaN` and `Infinity` are accepted.

    Raises ValueError when `text` is not JSON.
    """
    if not _has_long_integer(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # orjson is stricter than the JSON that Python itself writes: NaN, unpaired surrogates
    try:
        return json.loads(text)
    except RecursionError:
        raise NestedTooDeep from None


def _has_long_integer(text: bytes) -> bool:
    """Whether an integer in `text` may be beyond 64 bits."""
    # Searching for zeros is a tenth of the work of searching for any digits, of which rows are full.
    return b"0" * 19 in text.translate(_DIGITS_AS_ZEROS) and _LONG_INTEGER.search(text) is not None


class NestedTooDeep(ValueError):
    """JSON whose lists and objects lie too deep within each other to be written again."""

    def __str__(self) -> str:
        return f"nested more than {MAX_DEPTH} deep"


def loads_given(text: bytes) -> Any:
    """As `loads`, for what others wrote: whatever is read can be written again, inside a step's or an output's row.

    Raises ValueError when `text` is not JSON; `NestedTooDeep` beyond `MAX_DEPTH`.
    """
    found = loads(text)
    # Counting brackets is a hundred times as fast as looking: most texts have too few to be deep.
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deeper(found, MAX_DEPTH):
        raise NestedTooDeep
    return found


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most + 1):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not inner:
            return False
    return True


# --- lines that are no rows

_NOT_A_ROW = b"\0not a row: "
"""Begins what a reader gives in the place of a row that it cannot give; no JSON text holds a zero byte."""


def not_a_row(reason: str, begin: bytes = b"") -> bytes:
    """The text that stands for a row that could not be read: `load` rejects it with `reason`. `begin`: what there is of
    the row."""
    return b"%s%s\0%s" % (_NOT_A_ROW, " ".join(reason.split()).encode("utf-8", "replace"), begin)


def not_marked(text: bytes) -> bytes:
    """A row's text as somebody else wrote it, which must not pass for what our readers say about rows."""
    return b" " + text if text.startswith(b"\0") else text


def reason_not_a_row(text: bytes) -> tuple[str, bytes] | None:
    """The reason and the begin that `not_a_row` was given; None for any other text."""
    if not text.startswith(_NOT_A_ROW):
        return None
    reason, _, begin = text.removeprefix(_NOT_A_ROW).partition(b"\0")
    return reason.decode("utf-8", "replace"), begin


def read_lines(data: bytes) -> Iterator[Row]:
    """The rows of a step file's bytes."""
    return (loads(line) for line in data.split(b"\n") if line)


def to_lines(rows: Iterable[Row]) -> bytes:
    """The bytes of a step file that holds `rows`, a JSON object a line."""
    return b"".join(dumps(row) + b"\n" for row in rows)


def jsonable(value: Any) -> Any:
    """`value` in JSON's terms: NaN and infinities null, bytes base64, dates ISO 8601, decimals strings."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode("ascii")
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case decimal.Decimal():
            return str(value)
        case dict():
            return {str(key): jsonable(item) for key, item in value.items()}
        case list() | tuple() | set():
            return [jsonable(item) for item in value]
    return jsonable(value.tolist()) if hasattr(value, "tolist") else str(value)


# --- boxes, as rows give them

META_KEY = "meta_info"
"""The key of an output row for all that is known of its regions besides their captions."""

WITH_BBOX = "with_bbox"
WITHOUT_BBOX = "without_bbox"

Box = list[float | int | None]


def check_boxes(value: Any) -> list[Box] | None:
    """The boxes of a row as lists of four numbers, or None where it has none to give.

    `value` is what the row holds: null or nothing, a list of boxes, one flat box, or (from CSV) that as JSON text.
    A coordinate that is NaN, infinite or null stays as None: that box is dropped later, the others are good.
    Raises RowReject `bad_bbox` for anything else.
    """
    if isinstance(value, str):
        value = _from_text(value)
    if value is None:
        return None
    if not isinstance(value, list):
        raise RowReject("bad_bbox", f"expected a list of boxes [[x, y, w, h], …], got {shorten(value)}")
    if value and not any(isinstance(item, list | dict | str) for item in value):
        value = [value]  # one flat box
    return [_check_box(box, place) for place, box in enumerate(value)]


def _from_text(text: str) -> Any:
    if not text.strip():
        return None
    try:
        return loads_given(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        raise RowReject(
            "bad_bbox", f"expected a list of boxes [[x, y, w, h], …], got the text {shorten(text)}"
        ) from None


def _check_box(box: Any, place: int) -> Box:
    if not isinstance(box, list) or len(box) != 4:
        raise RowReject("bad_bbox", f"box {place}: expected four numbers, got {shorten(box)}")
    for number in box:
        if isinstance(number, bool) or not isinstance(number, (float, int, NoneType)):
            raise RowReject("bad_bbox", f"box {place}: expected four numbers, got {shorten(number)} among them")
    return [number if is_number(number) else None for number in box]


def is_number(value: Any) -> bool:
    """Whether `value` is a number that float64 can hold: no bool, NaN or infinity, no integer of 400 digits."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


# --- what messages quote of a row


def shorten(value: Any, most: int = 80) -> str:
    """What a message quotes of a value: at most `most` characters of its repr, secrets masked."""
    begin = value[: most + 1] if isinstance(value, str | bytes | list | tuple) else value
    return cut_text(outside_text(repr(begin)[: 20 * most], max_chars=20 * most), most)


def cut_text(text: str, most: int = QUOTED_CHARS) -> str:
    """`text`, or its first `most` - 3 characters and an ellipsis."""
    return text if len(text) <= most else text[: most - 3] + "…"
