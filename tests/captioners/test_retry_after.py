"""How long a server asks to wait, in all the ways in which servers say it."""

from __future__ import annotations

import email.utils

import pytest

from regioncap.captioners.retry_after import requested_wait

NOW = 1_790_000_000.0


def http_date(seconds: float) -> str:
    return email.utils.formatdate(NOW + seconds, usegmt=True)


HEADERS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "3"}, 3.0),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after": " 7 "}, 7.0),
    ({"retry-after": "-1"}, 0.0),
    ({"retry-after": "soon"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "1e400"}, None),
    ({"retry-after": "9" * 20}, 366 * 86_400),
    ({"retry-after": "1e300"}, 366 * 86_400),
    ({"retry-after": "20 seconds"}, 20.0),
    ({"retry-after": "PT1M30S"}, 90.0),
    ({"retry-after": http_date(90)}, 90.0),
    ({"retry-after": http_date(-90)}, 0.0),
    ({"retry-after": "1m30s"}, 90.0),
    ({"retry-after": str(NOW + 20)}, 20.0),
    ({"retry-after": str((NOW + 20) * 1000)}, 20.0),
    ({"retry-after": "86400"}, 86_400.0),
    ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
    ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "6m0s"}, None),
    ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str((NOW + 20) * 1000)}, 20.0),
    ({"ratelimit-remaining": "0", "ratelimit-reset": "17"}, 17.0),
    (
        {
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:40Z",
        },
        20.0,
    ),
]


@pytest.mark.parametrize(("headers", "expected"), HEADERS, ids=str)
def test_headers(headers: dict[str, str], expected: float | None) -> None:
    assert requested_wait(headers, "", NOW) == (None if expected is None else pytest.approx(expected))


BODIES: list[tuple[str, float | None]] = [
    ("", None),
    ("Too many requests", None),
    ('{"error": {"details": [{"@type": "RetryInfo", "retryDelay": "34.5s"}]}}', 34.5),
    ('[{"error": {"details": [{"retryDelay": "0s"}]}}]', 0.0),
    ('{"error": "Model is loading", "estimated_time": 20.3}', 20.3),
    ('{"error": {"metadata": {"retry_after_ms": 1500}}}', 1.5),
    ('{"error": {"details": [{"retryDelay": {"seconds": 2, "nanos": 0}}]}}', 2.0),
    ('{"retry_in_seconds": 7}', 7.0),
    ("try again in 99999999999999h", 366 * 86_400),
    ('{"retry_after": null}', None),
    ('{"error": {"message": "Rate limit reached. Please try again in 1m30.5s."}}', 90.5),
    ("Please retry after 20 seconds.", 20.0),
    ("Try again in 250 milliseconds", 0.25),
    ("try again in 7.66s. Visit our page", 7.66),
    ("Try again in 2 minutes", 120.0),
    ("Retry attempt 3 failed", None),
    ("[" * 10_000, None),
    ("try again in " + "9" * 5000 + "s", None),
]


@pytest.mark.parametrize(("body", "expected"), BODIES, ids=lambda value: str(value)[:60])
def test_bodies(body: str, expected: float | None) -> None:
    assert requested_wait({}, body, NOW) == (None if expected is None else pytest.approx(expected))


def test_the_header_counts_before_the_words() -> None:
    assert requested_wait({"retry-after": "2"}, "try again in 60s", NOW) == 2.0
