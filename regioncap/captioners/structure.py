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


def names_of(wanted: Sequence[int], word: str = "") -> list[str]:
    """The names of the texts in an answer in JSON; `word`, if there is one, comes first."""
    return [*([word] if word else []), *(f"region{number}" for number in wanted)]


def shows_word(way: str, wanted: Sequence[int], text: str) -> bool:
    """Whether an answer shows that the server enforced the form `way`, which begins with `PROBE_WORD`."""
    return f'"{PROBE_WORD}"' in text if way == "json_schema" else text.startswith(f"{label(wanted[0])}: {PROBE_WORD}")


def has_form(way: str, wanted: Sequence[int], text: str, *, cut: bool) -> bool:
    """Whether a server that enforces the form `way` may give this text; `cut`: it ended at its limit.

    >>> has_form("regex", [1, 2], "<region1>: A dog.\\n<region2>: Its ball.", cut=False)
    True
    """
    if way == "json_schema":
        return cut or all(f'"{name}"' in text for name in names_of(wanted))
    if not cut:
        return re.fullmatch(regex_of(wanted, None), text) is not None
    *whole, last = text.split("\n")
    begins = [f"{label(number)}: " for number in wanted]
    return (
        len(whole) < len(wanted)
        and all(re.fullmatch(regex_of([n], None), line) for n, line in zip(wanted, whole, strict=False))
        and (last.startswith(begins[len(whole)]) or begins[len(whole)].startswith(last))
    )


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
