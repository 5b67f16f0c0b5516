"""How long a server asks its clients to wait, in all the ways in which servers say it. No clock in here."""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from regioncap.records import loads

SPENT = ("remaining-requests", "remaining-tokens", "remaining")
"""Ends of the names of headers that say how much of a limit is left, each with a `reset` beside it."""

LIMIT_HEADERS = ("x-ratelimit-", "ratelimit-", "anthropic-ratelimit-requests-", "anthropic-ratelimit-tokens-")

EPOCH = 1_000_000_000
"""From here on a number is a moment, in seconds since 1970, not a time to wait."""

DURATION = re.compile(r"(?:pt)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")

IN_WORDS = re.compile(
    r"(?:try again|retry|wait|available)\D{0,30}?"
    r"(?:((?:\d+(?:\.\d+)?(?:ms|[hms]))+)\b|(\d+(?:\.\d+)?) ?(m(?:illi)?s|s(?:ec)?|m(?:in)?|h)[a-z]*\b)",
    re.IGNORECASE,
)
"""`Please try again in 1m30.5s.`, `retry after 20 seconds`."""

WAIT_FIELDS = frozenset({
    "retrydelay", "retryafter", "retryafterms", "retryaftersec", "retryaftersecs", "retryafterseconds", "retryin",
    "retryinseconds", "waitseconds", "resetafter", "resetinseconds", "estimatedtime",
})  # fmt: skip
"""In small letters without signs."""

SPELLED = re.compile(r"(\d+(?:\.\d+)?) (m(?:illi)?s|s(?:ec)?|m(?:in)?|h)[a-z]*")

SECONDS_OF_UNIT = {"ms": 0.001, "millis": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

SEARCHED_CHARS = 4000

MAX_WAIT = 366 * 86_400.0
"""Seconds: nobody waits so long, and clocks and calendars can count them."""


def requested_wait(headers: Mapping[str, str], body: str, now: float) -> float | None:
    """Seconds that a response asks to wait; 0 for a time that is over; None when it says nothing about it.

    `headers`: by name in lower case. `now`: seconds since 1970. Read in this order: `retry-after-ms`, `Retry-After`
    (seconds or a date), the body's fields (`retryDelay` of Google's APIs, `retry_after`, Hugging Face's
    `estimated_time`), `…ratelimit-reset…` of a limit that is used up, the body's words.
    """
    waits = (
        *_said_by_header(headers, now),
        *_said_by_fields(body),
        *_said_by_limits(headers, now),
        *_said_by_words(body),
    )
    return next((min(max(0.0, wait), MAX_WAIT) for wait in waits if math.isfinite(wait)), None)


def _said_by_header(headers: Mapping[str, str], now: float) -> Iterator[float]:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        yield milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _moment_or_seconds(value, now)
    if seconds is not None:
        yield seconds


def _moment_or_seconds(value: str, now: float) -> float | None:
    """Seconds from now, of a number of seconds, a moment as a number, an HTTP date, an ISO date or `1m30s`."""
    number = _number(value)
    if number is not None:
        if number > EPOCH * 1000:
            number /= 1000
        return number - now if number > EPOCH else number
    for read in (email.utils.parsedate_to_datetime, dt.datetime.fromisoformat):
        try:
            return read(value.strip()).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            continue
    return _duration(value)


def _duration(value: str) -> float | None:
    """The seconds of `1m30.5s`, `120ms`, `PT34S`, `20 seconds`."""
    value = value.strip().lower()
    spelled = SPELLED.fullmatch(value)
    if spelled is not None:
        return float(spelled[1]) * SECONDS_OF_UNIT[spelled[2]]
    match = DURATION.fullmatch(value)
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _said_by_fields(body: str) -> Iterator[float]:
    try:
        data = loads(body.encode())
    except ValueError:
        return
    for name, value in _fields(data, depth=6):
        if isinstance(value, dict):  # Google's Duration, as an object
            value = value.get("seconds")
        seconds = _number(value) if not isinstance(value, str) else _number(value) or _duration(value)
        if seconds is not None:
            yield seconds / 1000 if name.endswith("ms") else seconds


def _fields(data: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Fields of an error, at any place in it, that hold a time to wait."""
    if not depth:
        return
    if isinstance(data, list):
        for entry in data:
            yield from _fields(entry, depth - 1)
    elif isinstance(data, dict):
        for name, value in data.items():
            known = re.sub(r"[^a-z]", "", str(name).lower())
            if known in WAIT_FIELDS:
                yield known, value
            else:
                yield from _fields(value, depth - 1)


def _said_by_limits(headers: Mapping[str, str], now: float) -> Iterator[float]:
    """The longest wait for a limit of which nothing is left."""
    waits = []
    for prefix in LIMIT_HEADERS:
        for spent in SPENT:
            if _number(headers.get(prefix + spent)) == 0:
                reset = headers.get(prefix + spent.replace("remaining", "reset"), "")
                seconds = _moment_or_seconds(reset, now)
                waits += [seconds] if seconds is not None else []
    if waits:
        yield max(waits)


def _said_by_words(body: str) -> Iterator[float]:
    match = IN_WORDS.search(body[:SEARCHED_CHARS])
    if match is not None:
        short, number, unit = match.groups()
        seconds = _duration(short.lower()) if short else float(number) * SECONDS_OF_UNIT[unit.lower()]
        yield from [seconds] if seconds is not None else []


def _number(value: Any) -> float | None:
    """A finite number that a header or field gives, as text too."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None
