"""What a server's errors mean: for the request, for the endpoint, or for the whole run.

TryAgain         the moment's: another try may succeed
Refused          the request's: this one will never be answered
CaptionerError   the account's or the configuration's: no request will be answered
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from multidict import CIMultiDict

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
    """What came over the wire. `headers`: looked up in any case."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", CIMultiDict(self.headers))

    @property
    def retry_after(self) -> str | None:
        """The header `Retry-After`."""
        return self.headers.get("Retry-After")

    @property
    def text(self) -> str:
        """The content as text, whatever it is."""
        return self.content.decode("utf-8", "replace")


def error_text(response: HttpResponse, secrets: Sequence[str]) -> str:
    """The server's words about an error, short and without `secrets`."""
    try:
        error = orjson.loads(response.content)
        error = error.get("error", error) if isinstance(error, dict) else error
        text = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    except orjson.JSONDecodeError:
        text = response.text
    return outside_text(str(text), secrets)


def classify(response: HttpResponse, *, url: str, model: str, secrets: Sequence[str]) -> Exception:
    """The error that a response other than 200 stands for. The one place that says whose fault it is."""
    status, message = response.status, error_text(response, secrets)
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
