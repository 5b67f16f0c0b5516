"""Rows as nobody means them, by a seed: what a run meets in files that others made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

HUGE = int("9" * 400)

NUMBERS: list[Any] = [
    0, -1, 1, 0.5, 1e308, -1e308, 5e-324, 10**18, 2**63, 2**64, 10**30, HUGE, -HUGE, 1e999, float("nan"), True, None,
    "12", "", "NaN", "1e400", [], [1], {}, 10**307, -(10**307),
]  # fmt: skip

TEXTS = [
    "", " ", "\0", "a\0b", "\ud800", "é" * 300, "x" * 5000, "\u2028", "\x1b]0;evil\x07", "{", "{0}", "<region1>",
    "%s%n", "../..", "a\nb", "\ufeff", "🏳️‍🌈",
]  # fmt: skip

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"
"""A PNG of one pixel, in base64."""

IMAGES = [
    "a.png", "b.png", "gone.png", "folder", "broken.png", "text.png", "./a.png", "a.png ", "A.PNG", "a.png\n",
    "http://[x]/a.jpg", "http://[::1/a", "http:///a.jpg", "http://a:b/c", "http://127.0.0.1:1/a.jpg", "https://", "://",
    "s3://", "s3://[bucket]/x.jpg", "s3:///x", "gs://b/x.jpg", "az://c/x", "github://a.jpg", "reference://x", "dir://x",
    "generic://x", "jupyter://x", "dbfs://x", "nosuch://x", "memory://x", "file://[x]/y", "file://a.png",
    "tar://a.png::broken.tar", "zip://a.png::broken.tar", "zip://a::/no/such.zip", "zip://::", "::", "a::b", "data:,",
    "data:image/png;base64,AAA", "data:image/png;base64,!!!!", "simplecache::http://me:hush-hush@127.0.0.1:1/x.jpg",
    "http://127.0.0.1:1/x.jpg?X-Amz-Signature=hush-hush&token=hush-hush", "local://a.png", "blockcache::dir://x",
    "/dev/zero", "/dev/stdin", "/proc/self/environ", "http://169.254.169.254/latest", "http://0xA9FEA9FE/",
    "http://[fe80::1]/",
    "tar://a.png::tar://b::broken.tar", "tar://::broken.tar", "tar://a.png::gone.tar", "sftp://h/x", "hf://a/b.png",
    f"data:image/png;sha256={'0' * 64}", f"data:;undecodable={'0' * 64}", "data:image/png;sha256=x",
    "data:", "DATA:,a%zz",
    f"data:image/png;base64,{PIXEL}", f"data:image/png;base64,{PIXEL[:60]}", PIXEL, PIXEL[:-20], f"data:,{PIXEL}",
    "A" * 5000, "iVBORw0KGgo", "/9j/" + "A" * 300,
]  # fmt: skip
"""Names of images; the fuzz puts `a.png`, `b.png`, `folder`, `broken.png`, `text.png` and `broken.tar` there."""

IMAGE_VALUES: list[Any] = [
    ["a.png"], [], ["a.png", "b.png"], [["a.png"]], [None], {"path": "a.png", "bytes": None}, {"bytes": PIXEL}, {},
    {"bytes": PIXEL, "path": "a.png"}, {"bytes": "!!", "path": None}, {"bytes": 5}, {"bytes": [1, 2]},
    [{"bytes": PIXEL}],
    {"path": 7}, {"bytes": {"x": 1}, "path": ["a.png"]}, "{'bytes': b'\\x89PNG', 'path': None}", '{"path": "a.png"}',
]  # fmt: skip
"""What rows have for an image besides a name."""

SECRET = "hush-hush"
KEYS = ["image", "bbox", "scores", "label", "width", "height", "meta_info", "mdvp_record", "reject", "row", "line", "x"]


def odd_lines(count: int, seed: int) -> Iterator[bytes]:
    """So many lines of JSON Lines; some are no JSON."""
    rng = Random(seed)
    for _ in range(count):
        text = json.dumps(_row(rng)).encode()
        yield _damaged(text, rng) if rng.random() < 0.1 else text


def _row(rng: Random) -> Any:
    boxes = [_box(rng) for _ in range(rng.choice((1, 1, 2, 3, 30)))]
    row: dict[str, Any] = {
        "image": rng.choice(IMAGES[:2]),
        "bbox": boxes,
        "scores": [rng.random() for _ in boxes],
        "label": [f"label {number}" for number in range(len(boxes))],
    }
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        _spoil(row, rng)
    return row if rng.random() < 0.98 else _value(rng)


def _box(rng: Random) -> list[Any]:
    return [rng.randint(0, 40), rng.randint(0, 30), rng.randint(5, 50), rng.randint(5, 30)]


def _spoil(row: dict[str, Any], rng: Random) -> None:
    """One change to a row."""
    match rng.randint(0, 8):
        case 0:
            row["image"] = deepcopy(rng.choice(IMAGES + IMAGE_VALUES))
        case 1:
            row[rng.choice(KEYS)] = _value(rng)
        case 2:
            row.pop(rng.choice(KEYS), None)
        case 3:
            row[rng.choice(KEYS)] = _deep(rng)
        case 4:
            row[rng.choice(TEXTS)] = _value(rng)
        case 5 | 6:
            _spoil_list(row.get("bbox"), rng, inside=True)
        case 7:
            _spoil_list(row.get(rng.choice(("scores", "label"))), rng)
        case _:
            name = rng.choice(("bbox", "scores", "label"))
            row[name] = json.dumps(row.get(name))  # as CSV has it


def _spoil_list(value: Any, rng: Random, *, inside: bool = False) -> None:
    if not isinstance(value, list) or not value:
        return
    if inside and isinstance(value[0], list) and rng.random() < 0.8:
        _spoil_list(rng.choice(value), rng)
    else:
        value[rng.randrange(len(value))] = deepcopy(rng.choice(NUMBERS)) if rng.random() < 0.8 else _value(rng)


def _value(rng: Random) -> Any:
    kinds: tuple[Any, ...] = (rng.choice(NUMBERS), rng.choice(TEXTS), [_box(rng)], {"bytes": "x" * 9000, "path": None})
    return deepcopy(rng.choice(kinds))


def _deep(rng: Random) -> Any:
    """Up to 600 lists or objects within each other: beyond, `json.dumps` does not write them here."""
    value: Any = deepcopy(rng.choice(NUMBERS))
    for _ in range(rng.choice((5, 100, 190, 199, 200, 260, 400, 600))):
        value = [value] if rng.random() < 0.8 else {"x": value}
    return value


def _damaged(text: bytes, rng: Random) -> bytes:
    """Text with a few bytes changed, cut off, or much too deep."""
    match rng.randint(0, 3):
        case 0:
            return text[: rng.randint(1, len(text))]
        case 1:
            return b'{"image": "a.png", "x": ' + b"[" * 3000 + b"]" * 3000 + b"}"
        case 2:
            return b'{"image": "a.png", "bbox": [[1, 2, 3, ' + b"9" * 5000 + b"]]}"
    changed = bytearray(text)
    for _ in range(3):
        changed[rng.randrange(len(changed))] = rng.choice([*range(9), *range(11, 256)])
    return bytes(changed)
