"""How batches are dealt with, as texts on a command line say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from regioncap.captioners.fake.batch_behaviour import CALLS, FAILURES, TROUBLES, BatchBehaviour

SECONDS = {
    "delay": "seconds that a batch is in progress",
    "list_delay": "seconds for which a new batch is not in the list",
    "pending": "seconds until a batch can be created of an uploaded file",
}
SHARES = {
    **{name: f"share of the lines: {text}" for name, text in FAILURES.items()},
    "expires": "share of the lines that are answered when a batch expires; every batch does",
    "twice": "share of the results that come twice",
    "shuffled": "results in another order, if above 0",
}
COUNTS = {
    "troubled": "number of the first batches that have a delay and these shares; then none has",
    "enqueued_tokens": "tokens of the prompts in batches that are not done; a batch above it fails",
    "max_requests": "requests of an input file",
    "max_bytes": "size of an input file",
    "no_list": "404 or 405: there is no list of batches",
}

BATCH_FLAGS: Mapping[str, str] = {
    **SECONDS,
    **SHARES,
    **COUNTS,
    **{name: f"what becomes of {path}: the first time, the second, …" for name, path in CALLS.items()},
}
"""Names and what they set. Calls take a list with commas of `TROUBLES`."""


def batch_behaviour(texts: Iterable[str]) -> BatchBehaviour:
    """The behaviour that texts NAME=VALUE ask for. Raises ValueError with what is expected."""
    values: dict[str, Any] = {"fails": {}, "calls": {}}
    for text in texts:
        name, _, value = text.partition("=")
        if name in CALLS:
            values["calls"][name] = _troubles(text, value)
        elif name in FAILURES:
            values["fails"][name] = _number(text, value, most=1)
        elif name == "expires":
            values |= {"expires": True, "done": _number(text, value, most=1)}
        elif name == "shuffled":
            values[name] = _number(text, value, most=1) > 0
        elif name in SHARES:
            values[name] = _number(text, value, most=1)
        elif name in SECONDS:
            values[name] = _number(text, value)
        elif name == "no_list" and value not in ("404", "405"):
            raise ValueError(f"expected no_list=404 or no_list=405, got {text!r}")
        elif name in COUNTS:
            values[name] = int(_number(text, value))
        else:
            raise ValueError(f"expected NAME=VALUE with one of {', '.join(BATCH_FLAGS)}, got {text!r}")
    return BatchBehaviour(**values)


def _troubles(text: str, value: str) -> tuple[str, ...]:
    troubles = tuple(value.split(","))
    if not set(troubles) <= TROUBLES.keys():
        raise ValueError(f"expected a list with commas of {', '.join(TROUBLES)}, got {text!r}")
    return troubles


def _number(text: str, value: str, most: float = 1e12) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise ValueError(f"expected a number {f'from 0 to {most:g}' if most <= 1 else 'of at least 0'}, got {text!r}")
    return number
