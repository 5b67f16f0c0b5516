"""What the fake server does wrong on demand. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """`text`: what happens. `whose`: whose fault it is: the `moment`'s (another try helps), the `answer`'s (it yields
    less than was asked for, and another may yield more), the `row`'s, or the `account`'s."""

    text: str
    whose: str


def _faults(whose: str, **texts: str) -> dict[str, Fault]:
    return {name.removeprefix("_"): Fault(text, whose) for name, text in texts.items()}


FAULTS: Mapping[str, Fault] = {
    **_faults(
        "moment",
        _500="an internal error",
        _429="too many requests, with the wait that the server asks for",
        _502="a page of HTML: bad gateway",
        _503="unavailable, with the wait that the server asks for",
        _504="a page of HTML: gateway timeout",
        _524="a page of HTML: Cloudflare timeout",
        hang="no answer until the client gives up",
        cut="the connection is closed in the middle of the answer",
        truncated="half of the JSON, with status 200",
        garbage="a page of HTML with status 200",
        endless="a body that never ends",
        error_in_200="an error object with status 200, and the tokens that it cost",
        error_finish="broken off, with finish_reason error and an error in the choice",
        abort="broken off, with finish_reason abort",
        no_resources="broken off, with finish_reason insufficient_system_resource",
    ),
    **_faults(
        "answer",
        missing="one region is left out",
        extra="one region too many",
        reordered="the regions in reverse order",
        zero_labels="the regions are counted from 0",
        chatter="introduction and closing remark around the captions",
        escapes="terminal escapes and control signs in the captions",
        length="the answer ends at max_tokens",
        model_length="the answer ends at the context's length",
        odd_finish="broken off, with an unknown finish_reason",
        think_cut="max_tokens are used up in a block of reasoning, with drafts of captions in it",
        thinking_only="max_tokens are used up by reasoning that is not shown: no text",
        empty="no text, with finish_reason stop",
        safety="no text, with finish_reason content_filter",
        refusal="the model declines",
    ),
    **_faults(
        "usage",
        no_usage="the tokens are not counted",
        odd_usage="the tokens are counted in texts",
    ),
    **_faults(
        "row",
        policy="the picture is against the provider's policy; a share of the pictures",
        bad_picture="the picture is refused as invalid; a share of the pictures",
    ),
    **_faults(
        "account",
        credits="no credit is left",
        forbidden="the key lacks a permission",
        unauthorized="the key is no longer valid",
        gone="the model is gone",
    ),
}  # fmt: skip
"""Each is drawn with its share of the requests."""

SCHEDULED: Mapping[str, str] = {
    "credits_after": "answers that the account can pay for; then as `credits`",
    "loading": "seconds, from the first request on, for which the model loads",
}
"""Faults that come at a time: each with a number in place of a share."""

LIMITED = frozenset({"429", "503", "loading"})
"""Errors that say when to try again."""

STATUSES = frozenset(
    {"500", "429", "502", "503", "504", "524", "policy", "bad_picture", "credits", "forbidden", "unauthorized", "gone"}
)
"""Faults that are errors, before the model is asked."""

BROKEN_OFF = frozenset({"error_in_200", "error_finish", "abort", "no_resources"})
"""Faults with status 200 and no answer: the server gave it up."""

BROKEN_ENDS: Mapping[str, str] = {
    "length": "length", "model_length": "model_length", "error_finish": "error", "abort": "abort",
    "no_resources": "insufficient_system_resource", "odd_finish": "interrupted", "think_cut": "length",
}  # fmt: skip
"""The `finish_reason` of answers that are not whole."""


def draw_fault(faults: Mapping[str, float], drawn: float) -> str:
    """The fault that a number from 0 to 1 stands for, by the shares in `faults`; "" for none.

    >>> draw_fault({"500": 0.1, "429": 0.1}, 0.15), draw_fault({"500": 0.1}, 0.9)
    ('429', '')
    """
    for name, share in faults.items():
        drawn -= share
        if drawn < 0:
            return name
    return ""


def fault_of(faults: Mapping[str, float], drawn: float, of_picture: float) -> str:
    """The fault of a request: `drawn`, a number from 0 to 1, decides, and for faults of the row `of_picture`, which is
    the same for every request with the same picture."""
    rows = {name: share for name, share in faults.items() if FAULTS[name].whose == "row"}
    others = {name: share for name, share in faults.items() if name not in rows}
    return draw_fault(rows, of_picture) or draw_fault(others, drawn)
