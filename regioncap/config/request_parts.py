"""What users add to the requests to their endpoints: headers, query parameters, fields of the JSON body, and keys.

Headers and parameters are lists of text, since Prefect's form and flags know nothing else: `NAME: VALUE` and
`NAME=VALUE`. No error here shows a value: it may be a secret that should not be there.
"""

from __future__ import annotations

import datetime
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from regioncap.config.references import NOT_IN_HEADERS, Reference, looks_secret, names_credential

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PARAMETER_NAME = re.compile(r"[^\s=&?#]+")

_BODY_CREDENTIAL = re.compile(r"(?:api[_-]?key|authorization|password|secret|(?:access|auth)[_-]?token|credentials?)$")
"""Less than `names_credential`: bodies have harmless fields such as `prompt_cache_key`."""

OWN_HEADERS = frozenset({
    "content-type", "content-length", "content-encoding", "host", "transfer-encoding", "accept-encoding", "connection",
    "keep-alive", "upgrade", "expect", "te", "trailer", "proxy-authorization", "proxy-connection",
})  # fmt: skip
"""Headers that belong to the connection, and are set with it."""

_LIMITED = "which would truncate captions unnoticed"
OWN_FIELDS = {
    "model": "set model instead",
    "messages": "set prompt and system_prompt instead",
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), "set max_tokens instead"),
    **{name: f"set {name} instead" for name in ("temperature", "top_p", "top_k", "repetition_penalty", "seed")},
    **dict.fromkeys(("stream", "stream_options"), "answers are always read whole"),
    **dict.fromkeys(("n", "best_of"), "every request is for one answer"),
    **dict.fromkeys(
        (
            "response_format", "structured_outputs", "guided_regex", "guided_json", "guided_choice", "guided_grammar",
            "guided_decoding_backend", "regex", "ebnf", "json_schema", "grammar", "format",
        ),
        "set structure instead",
    ),
    **dict.fromkeys(("stop", "stop_token_ids"), f"they end answers early, {_LIMITED}"),
    **dict.fromkeys(("tools", "tool_choice", "functions", "function_call"), "captions are text"),
    "extra_body": "write its fields into request_body itself",
    "extra_headers": "set request_headers instead",
    "extra_query": "set request_query instead",
}  # fmt: skip
"""Fields of a chat request that are set otherwise, and how."""


def as_lines(value: Any, separator: str) -> Any:
    """A table of names and values as the list of text that is kept, also in a list; one text is a list of one.

    What is no such thing stays as it is, to be refused.

    >>> as_lines({"api-version": datetime.date(2024, 10, 21)}, "=")
    ('api-version=2024-10-21',)
    """
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    if isinstance(value, Mapping):
        return tuple(_as_line(str(name), separator, each) for name, each in value.items())
    if isinstance(value, list | tuple):  # in YAML "- api-key: env:KEY" is a table in a list
        nested = [as_lines(each, separator) if isinstance(each, Mapping) else (each,) for each in value]
        return tuple(itertools.chain.from_iterable(nested))
    return value


def _as_line(name: str, separator: str, value: Any) -> Any:
    """An entry of a table as a line. Unquoted in TOML and YAML its value may be a number, a date, true or false."""
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, datetime.date):
        value = value.isoformat()
    return f"{name}{separator}{value}" if isinstance(value, str | int | float) else {name: value}


def as_object(value: Any) -> Any:
    """JSON text as what it stands for, and tables with plain JSON values.

    Raises ValueError for text and for values that are no JSON.
    """
    try:
        if isinstance(value, str):
            value = json.loads(value) if value.strip() else {}
        return orjson.loads(orjson.dumps(json.loads(json.dumps(value, allow_nan=False))))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"a JSON object ({error})") from None


def headers_of(lines: tuple[str, ...]) -> dict[str, str]:
    """Headers by name. Raises ValueError for lines that are none, for names that are taken, and for secrets."""
    found: dict[str, str] = {}
    for line in lines:
        name, value = _split(line, ":", "request_headers: expected NAME: VALUE, such as 'api-key: env:AZURE_KEY'")
        if _HEADER_NAME.fullmatch(name) is None:
            raise ValueError("request_headers: expected a header's name (letters, digits, hyphens) before the colon")
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"request_headers: {name} is set with the connection; remove it")
        if not value or NOT_IN_HEADERS.search(value):
            raise ValueError(f"request_headers: expected one line of Latin-1 characters as the value of {name}")
        if name.lower() in map(str.lower, found):
            raise ValueError(f"request_headers: expected each name once, got {name} twice")
        _check_value("request_headers", name, value, ": ")
        found[name] = value
    return found


def query_of(lines: tuple[str, ...]) -> dict[str, str]:
    """Query parameters by name. Raises ValueError as `headers_of` does."""
    found: dict[str, str] = {}
    for line in lines:
        name, value = _split(line, "=", "request_query: expected NAME=VALUE, such as 'api-version=2024-10-21'")
        if _PARAMETER_NAME.fullmatch(name) is None:
            raise ValueError("request_query: expected a parameter's name before the equals sign")
        if name in found:
            raise ValueError(f"request_query: expected each name once, got {name} twice")
        _check_value("request_query", name, value, "=")
        found[name] = value
    return found


def _split(line: str, separator: str, expected: str) -> tuple[str, str]:
    name, found, value = line.partition(separator)
    if not found or not name.strip():
        raise ValueError(f"{expected}, got something else")
    return name.strip(), value.strip()


def _check_value(setting: str, name: str, value: str, separator: str) -> None:
    """A secret must be named, not given."""
    try:
        reference = Reference.of(value)
    except ValueError as error:
        raise ValueError(f"{setting}: {name}: {error}") from None
    if reference is None and (names_credential(name) or looks_secret(value)):
        raise ValueError(
            f"{setting}: {name} looks like a credential, and settings are stored in clear. Put it into an environment "
            f"variable and write '{name}{separator}env:VARIABLE', or into a Prefect Secret block and write "
            f"'{name}{separator}block:NAME'"
        )


def keys_of(entries: tuple[str, ...], endpoints: int, setting: str = "api_keys") -> tuple[Reference, ...]:
    """Where the keys of this many endpoints are, in their order. `setting`: which has these `entries`.
    Raises ValueError for a wrong number, and for keys."""
    found: list[Reference] = []
    for number, entry in enumerate(entries, 1):
        try:
            reference = Reference.of(entry)
        except ValueError as error:
            raise ValueError(f"{setting}: {error}") from None
        if reference is None or reference.scheme:
            raise ValueError(
                f"{setting}: expected env:VARIABLE or block:NAME (a Prefect Secret block), never a key itself, got "
                f"something else as number {number}"
            )
        found.append(reference)
    if len(found) not in (0, 1, endpoints):
        raise ValueError(
            f"{setting}: expected one for all endpoints, or one for each in their order ({endpoints}), got {len(found)}"
        )
    return tuple(found * endpoints if len(found) == 1 else found)


def check_body(body: Mapping[str, Any]) -> None:
    """Raises ValueError for fields that other settings decide, and for secrets."""
    for name in body:
        if name in OWN_FIELDS:
            raise ValueError(f"request_body: remove {name}: {OWN_FIELDS[name]}")
    check_no_credentials(
        "request_body",
        body,
        "Send it with request_headers or api_keys, which name an environment variable or a Prefect Secret block",
    )


def check_no_credentials(setting: str, values: Mapping[str, Any], instead: str) -> None:
    """Raises ValueError if a field of `values`, at any depth, looks like a secret. `instead`: what to do with it."""
    for name, value in _fields_in(values):
        if _BODY_CREDENTIAL.search(name.lower()) or (isinstance(value, str) and looks_secret(value)):
            raise ValueError(f"{setting}: {name} looks like a credential, and settings are stored in clear. {instead}")


def _fields_in(value: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of all fields in a JSON value, at any depth."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield name, each
            yield from _fields_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _fields_in(each)
