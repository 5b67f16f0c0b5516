"""What a batch's input file has: where its lines are, and what is wrong with them, in OpenAI's codes and words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from regioncap.captioners.fake.model import BadRequest, parse_request

MOST_ERRORS = 100
"""So many are reported, no more."""


@dataclass
class Input:
    """`offsets`: where each line begins, in bytes. `tokens`: of the prompts, if they were to be counted."""

    offsets: list[int] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    model: str | None = None
    tokens: int = 0


def lines_of(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of every line that is not blank."""
    offset = 0
    for line in source:
        if line.strip():
            yield offset, line
        offset += len(line)


def error(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Any]:
    """An entry of a batch's `errors`."""
    return {"code": code, "message": message, "line": line, "param": param}


def read_input(source: BinaryIO, endpoint: str, *, one_custom_id: bool, count_tokens: bool) -> Input:
    """What an input file has; line by line, none is kept."""
    found, seen = Input(), set[str]()
    for number, (offset, text) in enumerate(lines_of(source), 1):
        found.offsets.append(offset)
        if len(found.errors) >= MOST_ERRORS:
            continue
        try:
            line = orjson.loads(text)
        except ValueError:
            found.errors.append(error("invalid_json_line", "This line is not parseable as valid JSON.", number))
            continue
        wrong = _wrong(line, endpoint, found.model, seen if one_custom_id else set())
        if wrong is not None:
            found.errors.append({**wrong, "line": number})
            continue
        found.model = line["body"].get("model")
        seen.add(line["custom_id"])
        found.tokens += _tokens(line["body"]) if count_tokens else 0
    if not found.offsets:
        found.errors.append(error("empty_file", "The input file is empty. Please ensure that the batch is not empty."))
    return found


def _wrong(line: Any, endpoint: str, model: str | None, seen: set[str]) -> dict[str, Any] | None:
    if not isinstance(line, dict):
        return error("invalid_request", "Each line must be a JSON object.")
    for name, kind in {"custom_id": str, "method": str, "url": str, "body": dict}.items():
        if name not in line:
            return error("missing_required_parameter", f"Missing required parameter: '{name}'.", param=name)
        if not isinstance(line[name], kind):
            return error("invalid_type", f"Invalid type for '{name}': expected {kind.__name__}.", param=name)
    if line["method"] != "POST":
        return error("invalid_method", f"Invalid method: expected 'POST', got '{line['method']}'.", param="method")
    if line["url"] != endpoint:
        message = f"The URL provided for this request does not match the batch endpoint {endpoint}."
        return error("invalid_url", message, param="url")
    if line["custom_id"] in seen:
        message = (
            "The custom_id for this request is a duplicate of another request. "
            "The custom_id parameter must be unique for each request in a batch."
        )
        return error("duplicate_custom_id", message, param="custom_id")
    if model is not None and line["body"].get("model") != model:
        message = "The model of this request does not match the rest of the batch. Each batch must have one model."
        return error("mismatched_model", message, param="body.model")
    return None


def _tokens(body: dict[str, Any]) -> int:
    try:
        return parse_request(body).tokens
    except (BadRequest, KeyError, TypeError, ValueError):
        return 0  # The line is refused when its turn comes.
