"""Forms that a server can hold its model to: one line or one JSON text for each region."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from regioncap.captioners.prompts import label

STRUCTURES = ("regex", "guided_regex", "json_schema")
"""Ways to hold a server to a form, best first: vLLM's, vLLM's before 0.11, OpenAI's, which others have too."""

PROBE_WORD = "QZ7"
"""No model says this by itself: an answer with it shows that the server enforces the form."""

FORM_QUESTION = "Describe the picture in a few words, as JSON."

PROBE_REGEX = f"{label(1)}: {PROBE_WORD}[a-z]{{1,8}}"


def regex_of(wanted: Sequence[int], max_chars: int | None, word: str = "") -> str:
    """What an answer must match: one line for each region, its label first; the first text begins with `word`.

    >>> regex_of([1, 2], None)
    '<region1>: [^<\\\\s][^<\\\\n]*\\\\n<region2>: [^<\\\\s][^<\\\\n]*'
    """
    repeat = "*" if max_chars is None else f"{{0,{max_chars - 1}}}"
    words = [word] + [""] * len(wanted)
    return "\\n".join(f"{label(n)}: {begin}[^<\\s][^<\\n]{repeat}" for n, begin in zip(wanted, words, strict=False))


def holds_to_form(way: str, answer: str) -> bool:
    """Whether the answer to a question with `PROBE_REGEX` or `PROBE_WORD` shows that the server enforced it."""
    return f'"{PROBE_WORD}"' in answer if way == "json_schema" else re.fullmatch(PROBE_REGEX, answer) is not None


def schema_of(names: Sequence[str]) -> dict[str, Any]:
    """`response_format` for an object with a text under each of `names`."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "regions", "strict": True, "schema": schema}}


def structured(way: str, regex: str, names: Sequence[str]) -> dict[str, Any]:
    """The fields of a request that hold the server to a form, in one of `STRUCTURES`; none for `none`."""
    if way == "regex":
        return {"structured_outputs": {"regex": regex}}
    if way == "guided_regex":
        return {"guided_regex": regex}
    return {"response_format": schema_of(names)} if way == "json_schema" else {}
