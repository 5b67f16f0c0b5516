"""Paths and URLs as text: which they are, what in them may be secret, where a pattern begins."""

from __future__ import annotations

import re

GLOB_CHARS = frozenset("*?[")

LOCAL_PROTOCOLS = ("file://", "local://", "memory://", "data:")
"""Prefixes of URLs that need no network."""


def is_url(text: str) -> bool:
    """Whether `text` is a URL (`s3://…`, `data:…`) rather than a path on disk."""
    return "://" in text or text.startswith("data:")


def is_far(address: str) -> bool:
    """Whether a file is reached over a network, where many are better requested at once."""
    return is_url(address) and not address.startswith(LOCAL_PROTOCOLS)


def without_query(address: str) -> str:
    """A web address without its query; elsewhere `?` is a wildcard or part of a name."""
    return address.partition("?")[0] if address.startswith(("http://", "https://")) else address


_CHAINED = re.compile(r"\w[\w+.-]*(?:://[^\[\]]*?)?::(.+)", re.DOTALL)
"""`zip://a.jpg::s3://…` and `simplecache::https://…`, but no address of IPv6 in brackets."""


def behind_chain(address: str) -> str:
    """What the first protocol of a chain reads from; "" for what is no chain.

    >>> behind_chain("zip://a.jpg::s3://bucket/b.zip"), behind_chain("http://[::1]/a.jpg")
    ('s3://bucket/b.zip', '')
    """
    found = _CHAINED.match(address)
    return found[1] if found else ""


_SECRET_PARTS = re.compile(r"(?<=://)[^/]*@|[?#](?:(?!::).)*", re.DOTALL)
"""User name and password, query and fragment, of every part of a chain."""


def redact_url(url: str) -> str:
    """`url`, or a chain of them, without user name, password, query and fragment, where secrets and signatures are.

    >>> redact_url("simplecache::https://me:secret@host/a.jpg?sig=secret")
    'simplecache::https://host/a.jpg'
    """
    return _SECRET_PARTS.sub("", url) if is_url(url) else url


def public_url(address: str) -> str:
    """A path or URL as rows name a file: without what may be secret, and nothing else is taken from its name.

    >>> public_url("https://me:secret@host/a.tar?sig=secret"), public_url("s3://bucket/a #1.tar")
    ('https://host/a.tar', 's3://bucket/a #1.tar')
    """
    if behind_chain(address) or address.startswith(("http://", "https://")):
        return redact_url(address)
    return re.sub(r"(?<=://)[^/]*@", "", address) if is_url(address) else address


def glob_prefix(pattern: str) -> str:
    """The folder of a glob before its first wildcard: `a` for `a/b*/c.jpg`."""
    before = pattern[: min(pattern.index(sign) for sign in GLOB_CHARS if sign in pattern)]
    return before.rpartition("/")[0]
