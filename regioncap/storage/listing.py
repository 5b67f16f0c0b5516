"""Etags of many S3 objects from listings: checking a million objects takes a thousand requests.

S3 lists keys in order, a thousand per page, starting after any key. Each page is therefore requested to start just
before the next key that is needed, and covers that key and its close successors. However the keys are spread, there
are never more requests than keys. Pages are kept for the run, so rows need not be in the order of the keys.
"""

from __future__ import annotations

import bisect
import hashlib
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from regioncap.printable import printable
from regioncap.records import cut_text
from regioncap.storage.filesystem import Filesystems
from regioncap.storage.s3_pages import list_page
from regioncap.storage.storage_errors import reason_of

MAX_BYTES = 256_000_000
"""Approximate size of the pages kept: two million objects. Beyond that they are dropped and requested again."""

logger = logging.getLogger("regioncap")

_SEPARATOR = "\0"


class PageMark(NamedTuple):
    """A page of a listing, known again by its `digest`: while that is the same, so are all keys and etags of it."""

    bucket: str
    prefix: str
    after: str
    digest: str


class Looked(NamedTuple):
    """What listings say of S3 URLs: [etag, None] of each, None where there is no such object; and the pages on which
    they were looked up."""

    found: dict[str, list[Any] | None]
    pages: frozenset[PageMark]


@dataclass(frozen=True)
class Page:
    """One page: all objects whose keys sort after `after`, up to and including `last` (None: to the end)."""

    after: str
    last: str | None
    text: str
    """`NUL key NUL etag NUL key …`: a dict per page would take five times the memory."""

    def covers(self, key: str) -> bool:
        """Whether the page settles whether `key` exists."""
        return self.after < key and (self.last is None or key <= self.last)

    @cached_property
    def digest(self) -> str:
        """32 hex digits that are others as soon as a key or an etag is."""
        return hashlib.sha256(f"{self.last}{_SEPARATOR}{self.text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def etag(self, key: str, start: int = 0) -> tuple[str | None, int]:
        """(the object's etag, None when there is no such object; where in `text` to look for the next key in order).
        `start`: where to look for this one."""
        place = self.text.find(f"{_SEPARATOR}{key}{_SEPARATOR}", start)
        if place < 0:
            return None, start
        etag = place + len(key) + 2
        end = self.text.find(_SEPARATOR, etag)
        return self.text[etag:end], end


@dataclass
class Pages:
    """The pages of one prefix, sorted by where they begin."""

    starts: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    def of(self, key: str) -> Page | None:
        """The page that covers `key`, if it has been requested."""
        place = bisect.bisect_left(self.starts, key) - 1
        return self.pages[place] if place >= 0 and self.pages[place].covers(key) else None

    def behind(self, after: str) -> Page | None:
        """The page that begins behind `after`, if it has been requested."""
        place = bisect.bisect_left(self.starts, after)
        return self.pages[place] if place < len(self.starts) and self.starts[place] == after else None

    def add(self, page: Page) -> None:
        """Keep a page."""
        place = bisect.bisect_left(self.starts, page.after)
        self.starts.insert(place, page.after)
        self.pages.insert(place, page)


class Listings:
    """The listings of a run. `root`: keys below this URL are listed with it as prefix, others with their folder."""

    def __init__(self, files: Filesystems, root: str) -> None:
        self._files = files
        self._root = root.removeprefix("s3://") if root.startswith("s3://") else None
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Pages] = {}
        self._bytes = 0
        self._refused = False
        self.requests = 0

    def look(self, addresses: Iterable[str]) -> Looked:
        """S3 URLs as listings have them. Those that no listing covers are left out: the store refuses to list, or does
        not list in the order of the keys."""
        found: dict[str, list[Any] | None] = {}
        pages: set[PageMark] = set()
        page, page_of, start = None, ("", ""), 0
        for address in sorted(set(addresses)):
            if self._refused:
                break
            path = address.removeprefix("s3://")
            bucket, _, key = path.partition("/")
            if not key or "?" in key:
                continue
            prefix = self._root.partition("/")[2] if self._root and path.startswith(self._root) else _folder(key)
            if page is None or page_of != (bucket, prefix) or not page.covers(key):
                page, page_of, start = self._page_with(bucket, prefix, key), (bucket, prefix), 0
                if page is not None:
                    pages.add(PageMark(bucket, prefix, page.after, page.digest))
            if page is not None and page.covers(key):
                etag, start = page.etag(key, start)
                found[address] = [etag, None] if etag is not None else None
        return Looked(found, frozenset(pages))

    def unchanged(self, pages: Iterable[PageMark]) -> bool:
        """Whether all these pages would be listed just as they were."""
        for mark in pages:
            with self._lock:
                page = self._pages(mark.bucket, mark.prefix).behind(mark.after)
            page = page or self._requested(mark.bucket, mark.prefix, mark.after)
            if page is None or page.digest != mark.digest:
                return False
        return True

    def _pages(self, bucket: str, prefix: str) -> Pages:
        return self._known.setdefault((bucket, prefix), Pages())

    def _page_with(self, bucket: str, prefix: str, key: str) -> Page | None:
        with self._lock:
            page = self._pages(bucket, prefix).of(key)
        return page or self._requested(bucket, prefix, key_before(key))

    def _requested(self, bucket: str, prefix: str, after: str) -> Page | None:
        """The page behind `after`, from the store; None where it does not list."""
        if self._refused:
            return None
        try:
            page = self._ask(bucket, prefix, after)
        except Exception as error:
            self._refused = True
            logger.warning(
                "s3://%s cannot be listed (%s); requesting the etag of each image instead",
                cut_text(printable(bucket), 80), reason_of(error),
            )  # fmt: skip
            return None
        with self._lock:
            self._bytes += len(page.text)
            if self._bytes > MAX_BYTES:
                self._known.clear()
                self._bytes = len(page.text)
            self._pages(bucket, prefix).add(page)
        return page

    def _ask(self, bucket: str, prefix: str, after: str) -> Page:
        fs, _ = self._files.open(f"s3://{bucket}")
        self.requests += 1
        page = list_page(fs, bucket, prefix, after=after)
        keys = [item.key for item in page.objects]
        if keys != sorted(keys) or (keys and keys[0] <= after):
            raise ValueError("its listings are not in key order")
        parts = [part for item in page.objects for part in (item.key, item.etag)]
        text = _SEPARATOR + _SEPARATOR.join(parts) + _SEPARATOR
        if page.next and not keys:  # as S3 answers where many versions were deleted
            return Page(after, after, text)
        return Page(after, keys[-1] if page.next else None, text)


def key_before(key: str) -> str:
    """A key that sorts before `key`, with hardly any key between them.

    >>> key_before("photos/a.jpg")
    'photos/a.jpf~'
    """
    last = key[-1]
    if last.isascii() and last.isalnum():
        return f"{key[:-1]}{chr(ord(last) - 1)}~"
    return key[:-1]


def _folder(key: str) -> str:
    head, slash, _ = key.rpartition("/")
    return head + slash
