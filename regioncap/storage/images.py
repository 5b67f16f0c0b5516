"""The images that rows name: where they are, their bytes, and whether they changed."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from regioncap.errors import RegionCapError, RowReject
from regioncap.image_ref import ImageRef
from regioncap.records import shorten
from regioncap.storage.data_uri import decode_data_uri, parse_data_uri
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, LOCAL_PROTOCOLS, Filesystems, behind_chain, is_url
from regioncap.storage.image_errors import near_names, reject_of
from regioncap.storage.listing import Listings
from regioncap.storage.row_images import RowImages, digest_in, is_row_image
from regioncap.storage.scratch import Scratch
from regioncap.storage.tar_members import read_span, spans_of

ImageCheck = Literal["listing", "head", "never"]

Stat = list[Any] | None
"""What changes when an image does: [size, mtime ns] on disk, [etag or size, time] elsewhere; None: unknown, or held by
the row itself, whose text changes then."""


class ImageFiles:
    """The images that rows name, read as bytes.

    Absolute paths and URLs are used as they are; anything else is relative to `root`. What lies far, and what lies in a
    container, is brought near for many rows at once (`fetched`). `row_images`: those that rows held themselves.
    Whatever cannot be read is a row's reject: see `regioncap.storage.image_errors`.
    """

    def __init__(
        self, root: str, files: Filesystems = DEFAULT_FILESYSTEMS, *, row_images: RowImages | None = None
    ) -> None:
        self._root = root if root.endswith("/") else root + "/"
        self._files = files
        self._row_images = row_images or RowImages()
        self._listings = Listings(files, self._root)
        self._scratch = Scratch[ImageRef]()
        self._until_closed = contextlib.ExitStack()

    def locate(self, image: str) -> str:
        """Path or URL of an image as a row names it; of a chain, with the place of its last part."""
        if image.startswith("file://") and "%" in image:
            return _decoded(image)
        if behind := behind_chain(image):
            return image.removesuffix(behind) + self.locate(behind)
        if is_url(image) or image.startswith("/"):
            return image
        return self._root + image

    def container(self, ref: ImageRef) -> str:
        """Path or URL of the file that holds the image: its own, or one of many, or the cache's."""
        if digest := digest_in(ref.name):
            return self._row_images.address(digest)
        return self.locate(behind_chain(ref.name) if ref.byte_range is not None else ref.name)

    def read(self, ref: ImageRef) -> bytes:
        """The image's bytes. Raises RowReject with one of the codes above."""
        try:
            held = self._scratch.read(ref)
            return self._read(ref) if held is None else held
        except RegionCapError:
            raise
        except Exception as error:
            raise self._with_hint(ref.name, reject_of(ref.name, error)) from None

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

    def _read(self, ref: ImageRef) -> bytes:
        if ref.byte_range is not None:
            ((_, data),) = read_span(self._files, self.container(ref), [ref])
            return data
        if is_row_image(ref.name):
            return self._row_images.read(ref.name)
        if (uri := parse_data_uri(ref.name)) is not None:
            return decode_data_uri(uri)
        return self._read_file(self.locate(ref.name))

    def _read_file(self, address: str) -> bytes:
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

    def keep(self, images: Mapping[str, bytes]) -> None:
        """Hold images that rows held, by their names, until the end, for reading them before the cache has them."""
        refs = [ImageRef(name) for name in images]
        for ref in self._until_closed.enter_context(self._scratch.holding(refs)):
            self._scratch.put(ref, images[ref.name])

    @contextlib.contextmanager
    def fetched(self, refs: Sequence[ImageRef], pool: Executor) -> Iterator[None]:
        """Hold local copies of the images that are far during the block, all fetched at once. A failure shows up when
        the image is read."""
        far = dict.fromkeys(ref for ref in refs if _is_far(self.container(ref)))
        with self._scratch.holding(list(far)) as new:
            for _ in pool.map(self._bring, self._together(new)):
                pass
            yield

    def _together(self, refs: Sequence[ImageRef]) -> Iterator[list[ImageRef]]:
        """The images in groups that are best read together."""
        tars: dict[str, list[ImageRef]] = {}
        for ref in refs:
            if ref.byte_range is None:
                yield [ref]
            else:
                tars.setdefault(self.container(ref), []).append(ref)
        for members in tars.values():
            yield from spans_of(members)

    def _bring(self, group: list[ImageRef]) -> None:
        with contextlib.suppress(Exception):  # reading the image fails in the same way, and there it belongs to a row
            if self._scratch.is_full:
                return
            if group[0].byte_range is None:
                self._scratch.put(group[0], self._read(group[0]))
                return
            for ref, data in read_span(self._files, self.container(group[0]), group):
                self._scratch.put(ref, data)

    def stats(self, refs: Sequence[ImageRef], check: ImageCheck, pool: Executor) -> list[Stat]:
        """The `Stat` of each image, or of the container that holds it.

        `check`: `never` asks nothing (all None), `head` sends a request per file, `listing` uses listings where the
        store has them (S3). Never raises: reading the image later reports what is wrong with it.
        """
        if check == "never":
            return [None] * len(refs)
        found: dict[str, Stat] = {"": None}
        wanted = ["" if is_row_image(ref.name) else self.container(ref) for ref in refs]
        if check == "listing":
            on_s3 = [address for address in wanted if address.startswith("s3://")]
            with contextlib.suppress(Exception):  # then each is asked for alone
                found.update(self._listings.look(on_s3))
        others = [address for address in dict.fromkeys(wanted) if address not in found]
        far = [address for address in others if _is_far(address)]
        found.update({address: self._stat(address) for address in others if not _is_far(address)})
        found.update(zip(far, pool.map(self._stat, far), strict=True))
        return [found[address] for address in wanted]

    def stat(self, ref: ImageRef) -> Stat:
        """The `Stat` of one image."""
        return None if is_row_image(ref.name) else self._stat(self.container(ref))

    def _stat(self, address: str) -> Stat:
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
        self._until_closed.close()
        self._scratch.close()


def _is_far(address: str) -> bool:
    """Whether the file is reached over a network, where many are better requested at once."""
    return is_url(address) and not address.startswith(LOCAL_PROTOCOLS)


def _decoded(url: str) -> str:
    """`file:///a%20b.jpg`, as programs write it for the file `a b.jpg`; unless there is a file of that very name."""
    decoded = unquote(url)
    with contextlib.suppress(OSError, ValueError):
        if not os.path.lexists(url.removeprefix("file://")) and os.path.lexists(decoded.removeprefix("file://")):
            return decoded
    return url
