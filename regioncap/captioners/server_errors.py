"""What a server's errors mean: for the request, for the endpoint, or for the whole run.

TryAgain         the moment's: another try may succeed
Refused          the request's: this one will never be answered
CaptionerError   the account's or the configuration's: no request will be answered
"""

from __future__ import annotations

import email.utils
import os
import re
import time
from dataclasses import dataclass

import aiohttp
import orjson

from regioncap.captioners.masking import outside_text
from regioncap.errors import CaptionerError

RETRY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
OVERLOAD_STATUSES = frozenset({429, 503, 529})
KEY_STATUSES = frozenset({401, 403})


class TryAgain(Exception):
    """The request failed in a way that another try may cure.

    `overloaded`: the server has too much to do; `unreachable`: nothing answers there; `after`: seconds to wait, as the
    server asks.
    """

    def __init__(
        self, reason: str, *, overloaded: bool = False, unreachable: bool = False, after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.overloaded = overloaded
        self.unreachable = unreachable
        self.after = after


class Refused(Exception):
    """The server understood this request and will not answer it, however often it is sent."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class HttpResponse:
    """What came over the wire."""

    status: int
    content: bytes
    retry_after: str | None = None

    @property
    def text(self) -> str:
        """The content as text, whatever it is."""
        return self.content.decode("utf-8", "replace")


def error_text(response: HttpResponse, key: str | None) -> str:
    """The server's words about an error, short and without the key."""
    try:
        error = orjson.loads(response.content)
        error = error.get("error", error) if isinstance(error, dict) else error
        text = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    except orjson.JSONDecodeError:
        text = response.text
    return outside_text(str(text), key)


def classify(response: HttpResponse, *, url: str, model: str, key: str | None) -> Exception:
    """The error that a response other than 200 stands for. The one place that says whose fault it is."""
    status, message = response.status, error_text(response, key)
    if status in KEY_STATUSES:
        return CaptionerError(
            f"{url} refused the key ({status}: {message}). Set REGIONCAP_API_KEY or OPENAI_API_KEY, or name a "
            "Prefect Secret block with api_key_block, and run the same command again."
        )
    if status == 404:
        return CaptionerError(
            f"{url} knows no model {model!r}, or no chat completions ({status}: {message}). Check --model "
            "and --endpoint (its base URL, mostly ending in /v1) and run the same command again."
        )
    if status == 429 and re.search(r"insufficient_quota|billing", response.text):
        return CaptionerError(f"{url}: quota exhausted ({message}). Add credit and rerun the same command; it resumes.")
    if status in RETRY_STATUSES or status >= 500:
        overloaded = status in OVERLOAD_STATUSES
        return TryAgain(f"{status}: {message}", overloaded=overloaded, after=retry_after(response))
    return Refused(status, f"{status}: {message}")


def connection_error(error: Exception) -> TryAgain:
    """What an error of the network below a request means."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return TryAgain(f"cannot connect: {_words(error)}", unreachable=True)
    return TryAgain(f"the connection broke: {_words(error)}")


def unreachable(error: Exception) -> TryAgain:
    """What an error of the network means when the server is asked about itself."""
    return TryAgain(f"cannot connect: {_words(error)}", unreachable=True)


def _words(error: Exception) -> str:
    """An error of the network in a few words: `Connection refused`."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return str(cause) or type(error).__name__


def retry_after(response: HttpResponse) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date."""
    value = response.retry_after
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
