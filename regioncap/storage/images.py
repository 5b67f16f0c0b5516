"""The images that rows name: where they are, their bytes, and whether they changed."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from regioncap.errors import RegionCapError, RowReject
from regioncap.records import shorten
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, LOCAL_PROTOCOLS, Filesystems, behind_chain, is_url
from regioncap.storage.image_errors import near_names, reject_of
from regioncap.storage.listing import Listings
from regioncap.storage.scratch import Scratch

ImageCheck = Literal["listing", "head", "never"]

Stat = list[Any] | None
"""What changes when an image does: [size, mtime ns] on disk, [etag or size, time] elsewhere; None: unknown."""


class ImageFiles:
    """The images that rows name, read as bytes.

    Absolute paths and URLs are used as they are; anything else is relative to `root`. Whatever cannot be read is a
    row's reject: see `regioncap.storage.image_errors`.
    """

    def __init__(self, root: str, files: Filesystems = DEFAULT_FILESYSTEMS) -> None:
        self._root = root if root.endswith("/") else root + "/"
        self._files = files
        self._listings = Listings(files, self._root)
        self._scratch = Scratch()

    def locate(self, image: str) -> str:
        """Path or URL of an image as a row names it."""
        if image.startswith("file://") and "%" in image:
            return _decoded(image)
        if is_url(image) or image.startswith("/"):
            return image
        return self._root + image

    def is_remote(self, image: str) -> bool:
        """Whether the image is reached over a network, where many are better requested at once."""
        address = self.locate(image)
        return is_url(address) and not address.startswith(LOCAL_PROTOCOLS)

    def read(self, image: str) -> bytes:
        """The image's bytes. Raises RowReject with one of the codes above."""
        address = self.locate(image)
        try:
            return self._scratch.read(address) or self._read(address)
        except RegionCapError:
            raise
        except Exception as error:
            raise self._with_hint(image, reject_of(image, error)) from None

    def _with_hint(self, image: str, reject: RowReject) -> RowReject:
        """The reject, with the name of a file on disk that is nearly the one that is missing."""
        if reject.code != "image_missing" or is_url(self.locate(image)):
            return reject
        composed = unicodedata.is_normalized("NFC", image)
        with contextlib.suppress(OSError, ValueError):
            for near in near_names(image):
                if near and near != image and Path(self.locate(near)).is_file():
                    # Composed and decomposed letters look the same.
                    name = ascii(near)[:80] if unicodedata.is_normalized("NFC", near) != composed else shorten(near)
                    return RowReject(reject.code, f"{reject.message}. There is {name}: write it like that")
        return reject

    def _read(self, address: str) -> bytes:
        if not is_url(address):
            return Path(address).read_bytes()
        try:
            fs, path = self._files.open(address)
            return bytes(fs.cat_file(path))
        except Exception:
            # Caches and archives say little of what kept them from the file behind: what is met there says more.
            if behind := behind_chain(address):
                fs, path = self._files.open(behind)
                fs.cat_file(path, start=0, end=1)
            raise

    @contextlib.contextmanager
    def fetched(self, images: Sequence[str], pool: Executor) -> Iterator[None]:
        """Hold local copies of the remote images during the block, all fetched at once. A failure shows up when the
        image is read."""
        addresses = dict.fromkeys(self.locate(image) for image in images if self.is_remote(image))
        with self._scratch.holding(list(addresses), self._read, pool):
            yield

    def stats(self, images: Sequence[str], check: ImageCheck, pool: Executor) -> list[Stat]:
        """The `Stat` of each image.

        `check`: `never` asks nothing (all None), `head` sends a request per image, `listing` uses listings where the
        store has them (S3). Never raises: reading the image later reports what is wrong with it.
        """
        if check == "never":
            return [None] * len(images)
        found: dict[str, Stat] = {}
        addresses = {image: self.locate(image) for image in images}
        if check == "listing":
            on_s3 = [address for address in addresses.values() if address.startswith("s3://")]
            listed: dict[str, Stat] = {}
            with contextlib.suppress(Exception):  # then each is asked for alone
                listed = self._listings.look(on_s3)
            found = {image: listed[address] for image, address in addresses.items() if address in listed}
        near = [image for image in addresses if image not in found and not self.is_remote(image)]
        far = [image for image in addresses if image not in found and self.is_remote(image)]
        found.update({image: self.stat(image) for image in near})
        found.update(zip(far, pool.map(self.stat, far), strict=True))
        return [found[image] for image in images]

    def stat(self, image: str) -> Stat:
        """What changes when the image does, asked for it alone."""
        address = self.locate(image)
        try:
            if not is_url(address):
                file = Path(address).stat()
                return [file.st_size, file.st_mtime_ns]
            fs, path = self._files.open(address)
            info = fs.info(path)
        except Exception:
            # Every failure of a foreign filesystem means the same here: nothing is known of the image.
            return None
        etag = info.get("ETag") or info.get("etag")
        time = info.get("mtime") or info.get("LastModified") or info.get("created")
        return [etag or info.get("size"), str(time) if time and not etag else None]

    def close(self) -> None:
        """Remove what was brought near."""
        self._scratch.close()


def _decoded(url: str) -> str:
    """`file:///a%20b.jpg`, as programs write it for the file `a b.jpg`; unless there is a file of that very name."""
    decoded = unquote(url)
    with contextlib.suppress(OSError, ValueError):
        if not os.path.lexists(url.removeprefix("file://")) and os.path.lexists(decoded.removeprefix("file://")):
            return decoded
    return url
