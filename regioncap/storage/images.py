"""The images that rows name: where they are, their bytes, and whether they changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from urllib.parse import unquote

from regioncap.errors import RegionCapError, RowReject
from regioncap.image_ref import ImageRef, split_tar_name, tar_name
from regioncap.records import shorten
from regioncap.storage.allowed_images import AllowedImages, ImageRefused
from regioncap.storage.bounded_read import BoundedReader
from regioncap.storage.collecting import NotReadable
from regioncap.storage.data_uri import decode_data_uri, parse_data_uri
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Filesystems
from regioncap.storage.image_errors import near_names, reject_of, shown_image
from regioncap.storage.image_stats import ImageCheck, ImageStats, Stat
from regioncap.storage.listing import Listings, PageMark
from regioncap.storage.parquet_cells import ParquetCells
from regioncap.storage.row_images import RowImages, digest_in, is_row_image
from regioncap.storage.scratch import Scratch
from regioncap.storage.tar_members import Tars
from regioncap.storage.time_limit import OutOfTime
from regioncap.storage.urls import behind_chain, is_far, is_url


class ImageFiles:
    """The images that rows name, read as bytes.

    Absolute paths and URLs are used as they are; anything else is relative to `root`. What lies far, and what lies in a
    container, is brought near for many rows at once (`fetched`). `reader`: what may be read, and how much of it; by
    default as without settings. `secret`: the URLs of containers by what rows have of them, for those that hold a
    signature or a password. `row_images`: those that rows held themselves. Whatever cannot be read is a row's reject:
    see `regioncap.storage.image_errors`.
    """

    def __init__(
        self,
        root: str,
        files: Filesystems = DEFAULT_FILESYSTEMS,
        reader: BoundedReader | None = None,
        *,
        secret: Mapping[str, str] | None = None,
        row_images: RowImages | None = None,
    ) -> None:
        self._secret = secret or {}
        self._row_images = row_images or RowImages()
        self._root = root if root.endswith("/") else root + "/"
        self._reader = reader or BoundedReader(files, AllowedImages(own=[root]))
        self._stats = ImageStats(
            Listings(files, self._root), self._reader, lambda address: self._refusal_of(address) is None
        )
        self._scratch = Scratch[ImageRef]()
        self._failed: dict[ImageRef, Exception] = {}
        """Why images were not brought near that would only cost the same bytes or seconds once more."""
        self._ahead: dict[ImageRef, tuple[str, contextlib.ExitStack]] = {}
        """Images that were read ahead: their etags, and what holds their copies."""
        self._tars = Tars(files, self._reader.read_range)
        self._cells = ParquetCells(self._reader)
        self._until_closed = contextlib.ExitStack()

    def locate(self, image: str) -> str:
        """Path or URL of an image as a row names it; of a chain, with the place of its last part."""
        if image.startswith("file://") and "%" in image:
            return _decoded(image)
        if in_tar := split_tar_name(image):
            return tar_name(in_tar[0], self.locate(in_tar[1]))
        if behind := behind_chain(image):
            return image.removesuffix(behind) + self.locate(behind)
        if is_url(image) or image.startswith("/"):
            return image
        return self._root + image

    def container(self, ref: ImageRef) -> str:
        """Path or URL of the file that holds the image: its own, or one of many, or the cache's."""
        if digest := digest_in(ref.name):
            return self._row_images.address(digest)
        in_tar = split_tar_name(ref.name)
        address = self.locate(in_tar[1] if in_tar else ref.name)
        return self._secret.get(address, address) if ref.in_container else address

    def read(self, ref: ImageRef) -> bytes:
        """The image's bytes. Raises RowReject with one of the codes above."""
        try:
            if ref in self._failed:
                raise self._failed[ref]
            held = self._scratch.read(ref)
            return self._read(ref) if held is None else self._checked(held)
        except RegionCapError:
            raise
        except Exception as error:
            raise self._with_hint(ref.name, reject_of(str(ref), error)) from None

    def read_head(self, ref: ImageRef, size: int) -> bytes:
        """The image's first `size` bytes; all of it where no part can be had. Raises RowReject as `read` does."""
        address = self.container(ref)
        if (
            ref.in_container
            or is_row_image(ref.name)
            or behind_chain(address)
            or not (is_url(address) or Path(address).is_file())
        ):
            return self.read(ref)
        try:
            data, etag = self._reader.read_head(address, size)
            if etag and len(data) < size:
                self._keep_whole(ref, data, etag)
            return data
        except RegionCapError:
            raise
        except Exception as error:
            raise self._with_hint(ref.name, reject_of(ref.name, error)) from None

    def _keep_whole(self, ref: ImageRef, data: bytes, etag: str) -> None:
        """Hold a small image of which the head was asked for, and all came: it need not be fetched again."""
        held = contextlib.ExitStack()
        if held.enter_context(self._scratch.holding([ref])):
            self._scratch.put(ref, data)
        self._ahead[ref] = etag, self._until_closed.enter_context(held)

    def _let_go_of_changed(self, refs: Sequence[ImageRef], stats: Sequence[Stat]) -> None:
        """Read those again whose etag is another by now."""
        for ref, stat in zip(refs, stats, strict=True):
            if ref in self._ahead and (stat is None or stat[0] != self._ahead[ref][0]):
                self._ahead.pop(ref)[1].close()

    def refusal(self, image: str) -> ImageRefused | None:
        """Why `allowed_images` does not allow what a row names, as far as can be told without a network; else None."""
        return self._refusal_of(self.locate(image))

    def _refusal_of(self, address: str) -> ImageRefused | None:
        try:
            self._reader.check(address)
        except ImageRefused as refused:
            return refused
        except Exception:  # nothing can be said of it; reading it will
            return None
        return None

    def host_refusal(self, host: str) -> ImageRefused | None:
        """Why `allowed_images` does not allow a web server at the addresses that its name has now; else None."""
        try:
            self._reader.check_host(host)
        except ImageRefused as refused:
            return refused
        except OSError:
            return None
        return None

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
                    return RowReject(reject.code, f"{reject.message}. There is {name}: spell it like that")
        return reject

    def _read(self, ref: ImageRef) -> bytes:
        if ref.row is not None:
            return _unchanged(ref, self._cells.read(self.container(ref), ref))
        if split_tar_name(ref.name):
            return self._read_member(ref)
        if is_row_image(ref.name):
            return self._checked(self._row_images.read(ref.name))
        if (uri := parse_data_uri(ref.name)) is not None:
            return self._checked(decode_data_uri(uri))
        return self._reader.read(self.locate(ref.name))

    def _read_member(self, ref: ImageRef) -> bytes:
        address = self.container(ref)
        place = ref if ref.byte_range is not None else self._find_member(address, ref)
        if place is None or place.byte_range is None:
            return self._reader.read(self.locate(ref.name))
        self._reader.check_size(place.byte_range[1])
        ((_, data),) = self._tars.read(address, [place])
        return data

    def _find_member(self, address: str, ref: ImageRef) -> ImageRef | None:
        """The place of a member that is known by its name alone; None for one that has none of its own (a link), or for
        a tar that is compressed, which has to be read from its start within a limit of time."""
        with contextlib.suppress(Exception):  # reading it says why
            return None if self._tars.is_compressed(address) else self._tars.find(address, ref)
        return None

    def _checked(self, data: bytes) -> bytes:
        self._reader.check_size(len(data))
        return data

    def keep(self, images: Mapping[str, bytes]) -> None:
        """Hold images that rows held, by their names, until the end, for reading them before the cache has them."""
        refs = [ImageRef(name) for name in images]
        for ref in self._until_closed.enter_context(self._scratch.holding(refs)):
            self._scratch.put(ref, images[ref.name])

    @contextlib.contextmanager
    def fetched(self, refs: Sequence[ImageRef], pool: Executor) -> Iterator[None]:
        """Hold local copies of the images that are far or in cells during the block, all fetched at once. A failure
        shows up when the image is read."""
        far = dict.fromkeys(ref for ref in refs if self.is_better_brought(ref))
        with self._scratch.holding(list(far)) as new:
            for _ in pool.map(self._bring, self._together(new)):
                pass
            yield
        for ref in far:
            self._failed.pop(ref, None)

    def bring(self, ref: ImageRef, stat: Stat, until: contextlib.ExitStack) -> None:
        """Hold a local copy of an image until `until` is closed, or until `stats` no longer gives `stat`, which it gave
        before. A failure shows up when the image is read."""
        if ref in self._ahead:  # its stat is still the same
            return
        held = until.enter_context(contextlib.ExitStack())
        self._ahead[ref] = stat[0] if stat else "", held
        if held.enter_context(self._scratch.holding([ref])):
            self._bring([ref])

    def is_s3_object(self, ref: ImageRef) -> bool:
        """Whether the image is a file of its own on S3."""
        return not ref.in_container and self.locate(ref.name).startswith("s3://")

    def is_better_brought(self, ref: ImageRef) -> bool:
        """Whether `fetched` makes a local copy of the image, since it is far or in a cell."""
        if ref.row is not None:
            return True
        address = self.container(ref)
        with contextlib.suppress(Exception):  # met again where the image is read
            return is_far(address) or (ref.byte_range is not None and self._tars.is_compressed(address))
        return False

    def _together(self, refs: Sequence[ImageRef]) -> Iterator[list[ImageRef]]:
        """The images in groups that are best read together."""
        tars: dict[str, list[ImageRef]] = {}
        tables: dict[str, list[ImageRef]] = {}
        for ref in refs:
            if not ref.in_container:
                yield [ref]
            elif ref.row is not None:
                tables.setdefault(self.container(ref), []).append(ref)
            elif ref.byte_range is not None and self._reader.fits(ref.byte_range[1]):
                tars.setdefault(self.container(ref), []).append(ref)
        for address, members in tars.items():
            yield from self._tars.groups(address, members)
        for address, cells in tables.items():
            with contextlib.suppress(Exception):  # as in `_bring`
                yield from self._cells.by_group(address, cells)

    def _bring(self, group: list[ImageRef]) -> None:
        # Reading the image fails in the same way, and there it belongs to a row.
        with contextlib.suppress(Exception):
            if self._scratch.is_full:
                return
            first = group[0]
            if not first.in_container:
                self._bring_file(first)
                return
            read = self._tars.read if first.row is None else self._cells.read_group
            for ref, data in read(self.container(first), group):
                self._scratch.put(ref, data)

    def _bring_file(self, ref: ImageRef) -> None:
        try:
            data = self._read(ref)
        except (NotReadable, OutOfTime) as error:
            self._failed[ref] = error
            raise
        self._scratch.put(ref, data)

    def stats(self, refs: Sequence[ImageRef], check: ImageCheck, pool: Executor) -> list[Stat]:
        """The `Stat` of each image, or of the container that holds it, as `ImageStats.of` gives it."""
        return self.stats_and_pages(refs, check, pool)[0]

    def stats_and_pages(
        self, refs: Sequence[ImageRef], check: ImageCheck, pool: Executor
    ) -> tuple[list[Stat], frozenset[PageMark] | None]:
        """As `stats`, with the pages of listings that say all of it; None where something was asked for in another
        way."""
        addresses = ["" if is_row_image(ref.name) else self.container(ref) for ref in refs]
        known = self._stats.of(filter(None, addresses), check, pool)
        stats = [known.found[address] if address else None for address in addresses]
        self._let_go_of_changed(refs, stats)
        return stats, known.pages

    def unchanged(self, pages: Iterable[PageMark]) -> bool:
        """Whether all that these pages of listings said of images still holds."""
        return self._stats.unchanged(pages)

    def stat(self, ref: ImageRef) -> Stat:
        """The `Stat` of one image."""
        return None if is_row_image(ref.name) else self._stats.one(self.container(ref))

    def stop_reading(self) -> None:
        """End what is being read, and read nothing more: `read` raises Stopped."""
        self._reader.stop()

    def close(self) -> None:
        """End what is being read, remove what was brought near, and let go of open files."""
        self.stop_reading()
        self._until_closed.close()
        self._scratch.close()
        self._cells.close()


def _unchanged(ref: ImageRef, data: bytes) -> bytes:
    if ref.sha256 and hashlib.sha256(data).hexdigest() != ref.sha256:
        raise RowReject(
            "image_unavailable",
            f"{shown_image(str(ref))} is no longer the image that the run read: the file was replaced since",
        )
    return data


def _decoded(url: str) -> str:
    """`file:///a%20b.jpg`, as programs write it for the file `a b.jpg`; unless there is a file of that very name."""
    decoded = unquote(url)
    with contextlib.suppress(OSError, ValueError):
        if not os.path.lexists(url.removeprefix("file://")) and os.path.lexists(decoded.removeprefix("file://")):
            return decoded
    return url
