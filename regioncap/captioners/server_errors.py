"""What a server's errors mean: for the request, for the endpoint, or for the whole run.

TryAgain         the moment's: another try may succeed
Refused          this request's, or the endpoint's: which of them shows when a request known to be good is sent
EndpointFailed   the account's or the configuration's: this endpoint will answer no request
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from multidict import CIMultiDict

from regioncap.captioners.advice import advice_for
from regioncap.captioners.retry_after import requested_wait
from regioncap.errors import CaptionerError
from regioncap.masking import outside_text
from regioncap.records import loads

ACCOUNT_STATUSES = frozenset({401, 402, 407})
RETRY_STATUSES = frozenset({408, 409, 421, 423, 425, 429, 499})
OVERLOAD_STATUSES = frozenset({429, 503, 529})

LOADING = re.compile(
    r"\b(?:loading|warming|starting|initiali[sz]ing|cold start|currently unavailable|overloaded)\b", re.IGNORECASE
)

NOT_YET = re.compile(
    r"\b(?:is|still|currently|being) (?:load|warm|start|initiali[sz]|download|pull)(?:ing|ed)\b", re.IGNORECASE
)
"""Some say with a 4xx that a model is not loaded yet."""

NEVER = re.compile(r"mmproj|images? (?:input )?(?:is|are) not supported", re.IGNORECASE)
"""llama.cpp says with a 500 that its model takes no pictures: that does not pass."""

PAGE = re.compile(r"\s*<(?:!doctype|html|head|body|h1|center|title|\?xml)", re.IGNORECASE)

RESUMES = "Fix this and rerun; it resumes."


class TryAgain(Exception):
    """The request failed in a way that another try may cure.

    `overloaded`: the server has too much to do, or is not ready yet; `unreachable`: nothing answers there;
    `timed_out`: it took longer than `request_timeout`; `senseless`: what came is no answer at all; `after`: seconds to
    wait, as the server asks.
    """

    def __init__(
        self,
        reason: str,
        *,
        overloaded: bool = False,
        unreachable: bool = False,
        timed_out: bool = False,
        senseless: bool = False,
        after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.overloaded = overloaded
        self.unreachable = unreachable
        self.timed_out = timed_out
        self.senseless = senseless
        self.after = after


class Refused(Exception):
    """The server did not answer this request, and would not if it were sent again.

    Whether it is this request's fault or all are refused, the status does not tell.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class EndpointFailed(CaptionerError):
    """One endpoint answers no request, whichever is sent: its key, its account or its settings are wrong."""


class NotThere(EndpointFailed):
    """Nothing answers at an endpoint."""


@dataclass(frozen=True)
class HttpResponse:
    """What came over the wire. `headers`: looked up in any case."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", CIMultiDict(self.headers))

    @property
    def text(self) -> str:
        """The content as text, whatever it is."""
        return self.content.decode("utf-8", "replace")


def error_text(text: str, secrets: Sequence[str] = ()) -> str:
    """The words of an error's body, short and without `secrets`."""
    with contextlib.suppress(ValueError):  # a text, or a page of a proxy
        text = str(_message(loads(text.encode("utf-8", "replace"))))
    if PAGE.match(text):
        text = re.sub(r"<(style|script)\b[^<]*</\1>|<[^<>]*>", " ", text[:4000])
    return outside_text(text, secrets)


def _message(error: Any, depth: int = 4) -> Any:
    """The innermost text of an error, in the forms in which servers give it."""
    if isinstance(error, list) and error and depth:
        return _message(error[0], depth - 1)
    if isinstance(error, dict) and depth:
        for name in ("error", "message", "detail", "msg", "error_message", "errors"):
            if error.get(name):
                return _message(error[name], depth - 1)
    return error


def error_status(error: Any) -> int:
    """The HTTP status that an `error` object in an answer with status 200 stands for; 502 where it names none."""
    for name in ("code", "status", "status_code") if isinstance(error, dict) else ():
        try:
            status = int(error[name])
        except (KeyError, TypeError, ValueError):
            continue
        if 400 <= status < 600:
            return status
    return 502


def classify(response: HttpResponse, *, url: str, model: str, secrets: Sequence[str]) -> Exception:
    """The error that a response other than 200 stands for. The one place that says whose fault it is."""
    status, reason = response.status, f"{response.status}: {error_text(response.text, secrets)}"
    if status in ACCOUNT_STATUSES:
        return endpoint_failed(status, reason, url=url, model=model)
    if status < 400:
        return TryAgain(f"no answer, and no error: {reason}", senseless=True)
    passes = status in RETRY_STATUSES or status >= 500 or NOT_YET.search(reason)
    if passes and not NEVER.search(reason):
        overloaded = status in OVERLOAD_STATUSES or LOADING.search(reason) is not None
        wait = requested_wait(response.headers, response.text, time.time())
        return TryAgain(reason, overloaded=overloaded, after=wait)
    return Refused(status, reason)


def endpoint_failed(status: int, reason: str, *, url: str, model: str) -> EndpointFailed:
    """The error of an endpoint that refuses every request with this status and reason."""
    if status == 402:
        return EndpointFailed(f"{url}: no credit left ({reason}). Add credit to the account. {RESUMES}")
    if status in (401, 407):
        return EndpointFailed(
            f"{url} refused the key ({reason}). Set REGIONCAP_API_KEY or OPENAI_API_KEY, name where the key is with "
            f"api_keys (env:VARIABLE, block:NAME), or send another header with request_headers. {RESUMES}"
        )
    advice = advice_for(reason)
    if status == 404 and not advice:
        advice = "Check --model and --endpoint (its base URL, mostly ending in /v1)."
    if status == 404:
        return EndpointFailed(f"{url} knows no model {model!r}, or no chat completions ({reason}). {advice} {RESUMES}")
    return EndpointFailed(
        f"{url} refuses every request ({reason}). {advice or 'Check the key and the settings.'} {RESUMES}"
    )
