"""Errors of the fake server, in the words and forms of servers that people have: plain values, filled in when sent.

In texts `{model}`, `{retry}` (seconds until the next try), `{field}`, `{value}`, `{detail}` and `{path}` stand for what
is known then; a text that is nothing but `{retry}` becomes a number.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regioncap.captioners.fake.faults import LIMITED


@dataclass(frozen=True)
class ScriptedResponse:
    """What the server answers in place of its own answer: `body` as JSON, a text as it is."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Errors = Mapping[str, ScriptedResponse]
"""By kind: the name of a fault, or what is wrong with a request."""


def openai_error(
    status: int, message: str, kind: str = "invalid_request_error", code: str | int | None = None, param: str = ""
) -> ScriptedResponse:
    """An error as OpenAI writes it, and most who are compatible."""
    return ScriptedResponse({"error": {"message": message, "type": kind, "param": param or None, "code": code}}, status)


def page(status: int, title: str) -> ScriptedResponse:
    """The HTML page of a proxy."""
    html = f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1>"
    return ScriptedResponse(f"{html}</center>\r\n</body>\r\n</html>\r\n", status, {"Content-Type": "text/html"})


STANDARD: Errors = {
    "key": openai_error(401, "Incorrect API key provided: {value}", code="invalid_api_key"),
    "model": openai_error(404, "The model `{value}` does not exist.", "NotFoundError", 404, "model"),
    "request": openai_error(400, "{detail}", "BadRequestError", 400),
    "context": openai_error(400, "{detail}", "BadRequestError", "context_length_exceeded"),
    "field": openai_error(400, "Unrecognized request argument supplied: {field}", param="{field}"),
    "unsupported": openai_error(400, "{detail}", code="unsupported_parameter", param="{field}"),
    "value": openai_error(400, "{detail}", code="unsupported_value", param="{field}"),
    "images": openai_error(400, "At most {value} image(s) may be provided in one request.", "BadRequestError", 400),
    "body": page(413, "Request Entity Too Large"),
    "stream": openai_error(400, "This model only support stream mode, please enable the stream parameter."),
    "blind": openai_error(500, "image input is not supported - hint: provide the mmproj", "server_error"),
    "path": ScriptedResponse({"detail": "Not Found"}, 404),
    "429": openai_error(429, "Too many requests", "requests", "rate_limit_exceeded"),
    "500": openai_error(500, "Internal Server Error: EngineCore encountered an issue", "InternalServerError", 500),
    "502": page(502, "Bad Gateway"),
    "503": openai_error(503, "Too many requests", "overloaded_error", 503),
    "504": page(504, "Gateway Time-out"),
    "524": page(524, "A timeout occurred"),
    "loading": openai_error(503, "The model is loading", "unavailable_error", 503),
    "credits": openai_error(
        429, "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota",
        "insufficient_quota",
    ),
    "policy": openai_error(
        400, "Your request was rejected as a result of our safety system.", code="content_policy_violation"
    ),
    "bad_picture": openai_error(400, "You uploaded an unsupported image.", code="invalid_image_format"),
    "forbidden": openai_error(403, "You have insufficient permissions for this operation.", code="missing_scope"),
    "gone": openai_error(404, "The model `{model}` has been deprecated.", code="model_not_found"),
    "unauthorized": openai_error(401, "Your API key was revoked.", code="invalid_api_key"),
}  # fmt: skip
"""What a persona does not say in its own way."""


def _date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


WAITS: Mapping[str, Callable[[float], dict[str, str]]] = {
    "seconds": lambda seconds: {"Retry-After": f"{seconds:g}"},
    "date": lambda seconds: {"Retry-After": _date(seconds)},
    "milliseconds": lambda seconds: {"retry-after-ms": f"{1000 * seconds:.0f}", "Retry-After": f"{seconds:.0f}"},
    "reset": lambda seconds: {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": f"{seconds:g}s"},
    "reset-epoch": lambda seconds: {"X-RateLimit-Reset": f"{1000 * (time.time() + seconds):.0f}"},
    "zero": lambda seconds: {"Retry-After": "0"},
    "past": lambda seconds: {"Retry-After": _date(-3600)},
    "day": lambda seconds: {"Retry-After": "86400"},
    "nonsense": lambda seconds: {"Retry-After": "soon"},
    "none": lambda seconds: {},
}
"""How a header says when to try again, by name: given seconds, the headers."""


def error(errors: Errors, kind: str, *, wait: str, retry: float, **values: object) -> ScriptedResponse:
    """The error `kind` of a server with `errors`, filled in. `wait`: one of `WAITS`; `retry`: seconds."""
    found = errors.get(kind) or STANDARD[kind]
    headers = {**found.headers, **(WAITS[wait](retry) if kind in LIMITED else {})}
    return ScriptedResponse(_filled(found.body, {**values, "retry": f"{retry:g}"}), found.status, headers)


def _filled(value: Any, values: Mapping[str, object]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, values) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    if value == "{retry}":
        return float(str(values["retry"]))
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace(f"{{{name}}}", str(text))
    return value
