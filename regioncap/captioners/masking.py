"""Text that comes from outside, made fit for messages and logs: short, on one line, without secrets."""

from __future__ import annotations

import re

KEY_LIKE = re.compile(r"\b(sk|key)-[\w*-]{4,}")
"""Servers repeat a wrong key with some of its letters replaced."""

MASK = "***"


def outside_text(text: str, *secrets: str, max_chars: int = 300) -> str:
    """`text` on one line of at most `max_chars` characters, with `secrets` and what looks like a key masked.

    >>> outside_text("Incorrect key: sk-12***89\\n  Try again")
    'Incorrect key: *** Try again'
    """
    text = " ".join(text.split())
    for secret in filter(None, secrets):
        text = text.replace(secret, MASK)
    text = KEY_LIKE.sub(MASK, text)
    return text if len(text) <= max_chars else text[: max_chars - 3] + "…"
