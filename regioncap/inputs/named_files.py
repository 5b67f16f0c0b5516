"""The files that brace notation names: each must be there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from regioncap.errors import StorageError, UsageError
from regioncap.inputs.braces import expand, first_brace
from regioncap.records import cut_text
from regioncap.storage.filesystem import Place
from regioncap.storage.finding import FoundFiles
from regioncap.storage.urls import GLOB_CHARS

LISTED_FROM = 8
"""From this many files of one folder on, it is listed, rather than each of them asked for."""


def is_file(place: Place) -> bool:
    """Whether there is a file here. Raises StorageError."""
    # In an object store one small request returns the size; telling a folder takes a listing.
    if not place.is_local:
        size = place.size()
        return bool(size) or (size is not None and not place.is_folder())
    return place.exists() and not place.is_folder()


def has_braces(place: Place) -> bool:
    """Whether an input, which is no file, stands for several by its braces: unless a folder really has such a name."""
    brace = first_brace(place.address)
    return brace is not None and not _folder_at(place, place.address.find("/", brace)).exists()


def fixed_part(place: Place) -> Place:
    """The folder of an input with braces before its first brace or wildcard."""
    return _folder_at(place, _fixed(place.address)) if _fixed(place.address) else place.files.place(".")


def find_named(place: Place) -> FoundFiles:
    """The files that an input with braces names, as paths below its fixed part, in the order of the braces; globs among
    them as they are found. Raises UsageError for the first that is not there."""
    addresses = expand(place.address)
    start = _fixed(place.address)
    start += start > 0
    found = FoundFiles()
    there = _existing([address for address in addresses if not _is_glob(address)], place)
    for address in addresses:
        if _is_glob(address):
            matches = place.files.place(address)
            inner = matches.find()
            below = matches.fixed_part.address.rstrip("/")[start:]
            found.names += [f"{below}/{name}" if below else name for name in inner.names]
            found.skipped += inner.skipped
            missing = not inner.names
        else:
            found.names.append(address[start:])
            missing = address not in there
        if missing:
            many = f"; it is one of the {len(addresses):,} files that {cut_text(place.url)} stands for"
            raise UsageError(f"input: {cut_text(place.files.place(address).url)} does not exist{many}")
    return found


def _fixed(address: str) -> int:
    """Where the slash is that ends the part of an address before its first brace or wildcard; 0 where there is none."""
    signs = [at for sign in GLOB_CHARS if (at := address.find(sign)) >= 0]
    return max(address.rfind("/", 0, min([first_brace(address) or 0, *signs])), 0)


def _folder_at(place: Place, end: int) -> Place:
    return place.files.place(place.address if end < 0 else place.address[:end] or "/")


def _is_glob(address: str) -> bool:
    return bool(GLOB_CHARS & set(address))


def _existing(addresses: list[str], place: Place) -> set[str]:
    """Those of the addresses where there is a file."""
    folders: dict[str, list[str]] = {}
    for address in addresses:
        folders.setdefault(address.rpartition("/")[0], []).append(address)
    there = {address for folder, inside in folders.items() for address in _listed(folder, inside, place)}
    others = [address for address in addresses if address not in there]
    with ThreadPoolExecutor(16) as pool:
        return there | {
            address
            for address, exists in zip(
                others, pool.map(lambda one: is_file(place.files.place(one)), others), strict=True
            )
            if exists
        }


def _listed(folder: str, inside: list[str], place: Place) -> Iterator[str]:
    if len(inside) < LISTED_FROM or "::" in folder or not folder:
        return
    names: set[str] = set()
    with suppress(StorageError):  # web servers list nothing
        names = set(place.files.place(folder).sizes())
    yield from (address for address in inside if address.rpartition("/")[2] in names)
