"""Whether images changed: their size and time, or etag, asked for one by one or read off listings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from regioncap.storage.bounded_read import BoundedReader
from regioncap.storage.file_info import version_in
from regioncap.storage.listing import Listings, Looked, PageMark
from regioncap.storage.urls import is_far, is_url

ImageCheck = Literal["listing", "head", "never"]

Stat = list[Any] | None
"""What changes when an image does: [size, mtime ns] on disk, [etag or size, time] elsewhere; None: unknown, or held by
the row itself, whose text changes then."""


@dataclass(frozen=True)
class Stats:
    """What is known of files, by address. `pages`: the pages of listings that say all of it, as long as they are the
    same; None where something was asked for in another way."""

    found: dict[str, Stat] = field(default_factory=dict)
    pages: frozenset[PageMark] | None = None


class ImageStats:
    """Looks files up by path or URL. `allowed`: whether a URL may be asked for."""

    def __init__(self, listings: Listings, reader: BoundedReader, allowed: Callable[[str], bool]) -> None:
        self._listings = listings
        self._reader = reader
        self._allowed = allowed

    def of(self, addresses: Iterable[str], check: ImageCheck, pool: Executor) -> Stats:
        """The stats of these files. `check`: `never` asks nothing (all None), `head` sends a request per file,
        `listing` uses listings where the store has them (S3). Never raises: reading a file later reports what is wrong
        with it."""
        wanted = dict.fromkeys(addresses)
        if check == "never":
            return Stats(dict.fromkeys(wanted))
        looked = Looked({}, frozenset())
        if check == "listing":
            on_s3 = [address for address in wanted if address.startswith("s3://") and self._allowed(address)]
            with contextlib.suppress(Exception):  # then each is asked for alone
                looked = self._listings.look(on_s3)
        found: dict[str, Stat] = dict(looked.found)
        others = [address for address in wanted if address not in found]
        far = [address for address in others if is_far(address)]
        found.update({address: self.one(address) for address in others if not is_far(address)})
        found.update(zip(far, pool.map(self.one, far), strict=True))
        return Stats(found, None if others else looked.pages)

    def one(self, address: str) -> Stat:
        """The `Stat` of one file."""
        try:
            if not is_url(address):
                file = Path(address).stat()
                return [file.st_size, file.st_mtime_ns]
            info = self._reader.info(address)
        except Exception:
            # Every failure of a foreign filesystem means the same here: nothing is known of the image.
            return None
        return version_in(info)

    def unchanged(self, pages: Iterable[PageMark]) -> bool:
        """Whether all that these pages said still holds."""
        return self._listings.unchanged(pages)
