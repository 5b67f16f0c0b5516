"""The forms that servers hold their models to, and where requests have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FORMS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "regex": lambda body: (body.get("structured_outputs") or {}).get("regex"),
    "guided_regex": lambda body: body.get("guided_regex"),
    "sglang_regex": lambda body: body.get("regex"),
    "json_schema": lambda body: ((body.get("response_format") or {}).get("json_schema") or {}).get("schema"),
}
"""By name: given the body of a request, the regex or the JSON schema; None where it has none."""
