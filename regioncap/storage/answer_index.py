"""Which answers surely are not in an S3 folder, so that a look-up that would find nothing costs no request.

The folder is listed in pages, each from just before a key that is looked up on; of a thousand keys it keeps the first
32 bits each, in order: 4 bytes an answer, 40 MB for ten million. Equal bits only mean that the answer may be there, and
whoever needs it requests it. What is in no page may be there, too: in a large cache a page settles few look-ups, so
there are never more than one for `LOOKUPS_A_PAGE` of them.

A page tells what was there when it was requested. What this process stores from then on is added; what others store
is not, so whoever relies on it must know of them: see `regioncap.storage.claims`.
"""

from __future__ import annotations

import bisect
import logging
import re
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from regioncap.errors import StorageError
from regioncap.storage.filesystem import Place
from regioncap.storage.s3_pages import S3Page, list_page

LOOKUPS_A_PAGE = 8
"""A page takes as much work as about so many look-ups that find nothing."""

FIRST_PAGES = 2

BITS = 32
END = 1 << BITS

_NAME = re.compile(r"[0-9a-f]{32}\.json")

logger = logging.getLogger("regioncap")


@dataclass(frozen=True)
class Page:
    """What is known of the keys whose first bits are from `start` to `end`, without `end`: the bits of those that are
    there, in order."""

    start: int
    end: int
    there: array[int]

    def has(self, bits: int) -> bool:
        """Whether an answer whose key begins with these bits may be there."""
        at = bisect.bisect_left(self.there, bits)
        return at < len(self.there) and self.there[at] == bits


class AnswerIndex:
    """The index of one folder. For any thread. `allowed`: whether to rely on it now."""

    def __init__(self, folder: Place, allowed: Callable[[], bool]) -> None:
        self._folder = folder
        self._allowed = allowed
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._pages: list[Page] = []
        """In order; they do not overlap."""
        self._stored: list[int] | None = None
        """What was stored while a page was requested, which may not have it."""
        self._lookups = 0
        self._requested = 0
        self._off = False

    def lacks(self, key: str) -> bool:
        """Whether the answer with this key surely was not there when its page was listed, nor stored here since."""
        if self._off or not self._allowed():
            return False
        bits = _bits(key)
        with self._lock:
            self._lookups += 1
        lacks = self._known(bits)
        if lacks is None and self._requested < FIRST_PAGES:
            with self._listing:  # the first pages settle all of a small cache: worth waiting for
                lacks = self._known(bits)
                if lacks is None and self._requested < FIRST_PAGES:
                    lacks = self._request(bits)
        elif lacks is None and self._requested < self._lookups // LOOKUPS_A_PAGE and self._listing.acquire(False):
            try:
                lacks = self._request(bits)
            finally:
                self._listing.release()
        return bool(lacks)

    def add(self, key: str) -> None:
        """An answer was stored by this process."""
        bits = _bits(key)
        with self._lock:
            page = self._page_of(bits)
            if page is not None:
                bisect.insort(page.there, bits)
            elif self._stored is not None:
                self._stored.append(bits)

    def forget(self) -> None:
        """Forget all listings: the next look-up lists again."""
        with self._listing, self._lock:
            self._pages, self._lookups, self._requested = [], 0, 0

    @property
    def remembered(self) -> int:
        """How many answers are known to be there; each takes 4 bytes."""
        with self._lock:
            return sum(len(page.there) for page in self._pages)

    def _known(self, bits: int) -> bool | None:
        """Whether no answer begins with these bits; None where no page says."""
        with self._lock:
            page = self._page_of(bits)
            return None if page is None else not page.has(bits)

    def _page_of(self, bits: int) -> Page | None:
        at = bisect.bisect_right(self._pages, bits, key=lambda page: page.start) - 1
        return self._pages[at] if at >= 0 and bits < self._pages[at].end else None

    def _request(self, bits: int) -> bool | None:
        """What `_known` says once the page that begins at `bits` is listed."""
        # The first one from the very start: where the cache is small it is all there is.
        start = bits if self._requested else 0
        with self._lock:
            self._stored = []
            self._requested += 1
        try:
            there, end = self._listed(start)
        except (StorageError, FileNotFoundError) as error:  # some say so of a folder in which nothing is yet
            self._off = True
            logger.debug("%s: answers are looked up one by one (%s)", self._folder.url, error)
            return None
        self._keep(start, end, there)
        return self._known(bits)

    def _listed(self, start: int) -> tuple[array[int], int]:
        """The bits of a page of keys, from `start` on, and before which bits it is complete. Raises StorageError."""
        # Sorts before all keys that begin with these bits, and behind those that do not.
        first = f"{start:0{BITS // 4}x}"

        def page_of(fs: Any, bucket: str, prefix: str) -> S3Page:
            return list_page(fs, bucket, f"{prefix}/", after=f"{prefix}/{first[:2]}/{first}" if start else "")

        page = self._folder.call_s3(page_of, "list")
        if page is None:
            raise StorageError(self._folder.url, "list", "it is not on S3")
        names = [item.key.rpartition("/")[2] for item in page.objects]
        there = array("I", (_bits(name) for name in names if _NAME.fullmatch(name)))
        if list(there) != sorted(there):
            raise StorageError(self._folder.url, "list", "its listings are not in the order of the keys")
        if not page.next:
            return there, END
        # Others that begin with the bits of the last one may follow on the next page.
        last = there[-1] if there else start
        return there[: bisect.bisect_left(there, last)], last

    def _keep(self, start: int, end: int, there: array[int]) -> None:
        with self._lock:
            at = bisect.bisect_right(self._pages, start, key=lambda page: page.start)
            if at < len(self._pages) and self._pages[at].start < end:  # the rest is known already
                end = self._pages[at].start
                there = there[: bisect.bisect_left(there, end)]
            for stored in self._stored or ():
                if start <= stored < end:
                    bisect.insort(there, stored)
            self._stored = None
            if start < end:
                self._pages.insert(at, Page(start, end, there))


def _bits(key: str) -> int:
    return int(key[: BITS // 4], 16)
