"""Untrusted text in Markdown: captions, names and messages of errors."""

from __future__ import annotations

import re

MAX_CHARS_SHOWN = 300
"""Maximum length of a caption or message on a page."""


def cut(text: str, most: int = MAX_CHARS_SHOWN) -> str:
    """`text`, or its first `most` - 1 characters and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def escape_markdown(text: str, most: int = MAX_CHARS_SHOWN) -> str:
    """`text` on one line, with Markdown and HTML escaped."""
    line = " ".join(cut(text, most).split())
    return re.sub(r"([\\`*_{}\[\]<>()#!|~&])", r"\\\1", line).replace("\\<", "&lt;").replace("\\>", "&gt;")


def address(url: str) -> str:
    """A path or URL: as a link, where a browser can open it."""
    if url.startswith(("http://", "https://")):
        return f"<{url}>"
    return "`" + url.replace("`", "") + "`"
