"""Text that others wrote, made fit for a terminal or a log: what would act on either is shown instead of obeyed.

Models, rows, servers and file names may hold escape sequences that rename the window, move the cursor, hide text or
turn its direction. The one place that takes their effect away; data in files is not touched.
"""

from __future__ import annotations

import re

_ACTING = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1, but for tabs and line ends
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the direction
    "\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # cannot be seen
    "\ud800-\udfff"  # cannot be encoded
    "]"
)


def printable(text: object) -> str:
    """`text` with every sign that would act on a terminal written as its escape; tabs and line ends stay.

    >>> printable("a\\x1b]0;evil\\x07b"), printable("gel\\u202eb")
    ('a\\\\x1b]0;evil\\\\x07b', 'gel\\\\u202eb')
    """
    return _ACTING.sub(lambda sign: sign[0].encode("unicode_escape").decode(), str(text))


def printable_json(text: str) -> str:
    """JSON with every such sign written as JSON's own escape: the same data. `text`: valid JSON, or lines of it."""
    return _ACTING.sub(_json_escape, text)


def _json_escape(sign: re.Match[str]) -> str:
    units = sign[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
