"""Whether an answer contradicts what an earlier run found out about its server: another may be there by now."""

from __future__ import annotations

import json
from collections.abc import Sequence

from regioncap.captioners.chat import ChatResponse, Ending
from regioncap.captioners.structure import has_form


def contradicts(response: ChatResponse, wanted: Sequence[int]) -> bool:
    """Whether `response`, which was asked for the regions `wanted` and held to its `form`, is none of a server that
    enforces the form, and says how its answers end."""
    ending = response.ending
    if ending is Ending.UNKNOWN:
        return True
    if ending is Ending.ABSENT:
        # As in a trial: only JSON shows by itself that it is whole.
        return response.form != "json_schema" or not _is_json(response.text)
    if ending not in (Ending.COMPLETE, Ending.CUT) or not response.structured:
        return False
    return not has_form(response.form, wanted, response.text, cut=ending is Ending.CUT)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
