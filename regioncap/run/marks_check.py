"""Which of the marked pictures that an output names are gone or damaged, found without reading those that are whole.

A picture needs no reading if this run drew it, or if it is unchanged since the last check. Of an object store it is
also believed if it was never checked: objects are written whole or not at all; and those that this process stored
itself are not even looked up.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator

from regioncap.run.marks import MarkedPictures
from regioncap.run.threads import RunThreads
from regioncap.storage.filesystem import Place, path_of
from regioncap.storage.runs import CheckTimes
from regioncap.storage.s3_pages import S3Object, list_objects, list_page

Stat = tuple[int, float]
"""A file's size in bytes, and when it was changed: see `CheckTimes`."""


class MarksCheck:
    """Looks pictures up in the cache; `times` are those of the check."""

    def __init__(self, marks: MarkedPictures, times: CheckTimes, threads: RunThreads) -> None:
        self._marks = marks
        self._times = times
        self._is_local = marks.folder.is_local
        self._pool = threads.pixels if self._is_local else threads.io

    def broken(self, shards: Iterable[set[str]]) -> set[str]:
        """Those of the pictures that are not there or not whole. `shards`: of each shard, the sha256 of its pictures.

        Raises StorageError.
        """
        # A shard, or a folder, at a time: a run's memory does not grow with its rows.
        found = map(self._on_disk, shards) if self._is_local else self._in_store(shards)
        broken: set[str] = set()
        for missing, suspects in found:
            whole = self._pool.map(lambda name: self._marks.read(name) is not None, suspects)
            broken |= missing | {name for name, is_whole in zip(suspects, whole, strict=True) if not is_whole}
        return broken

    def _in_store(self, shards: Iterable[set[str]]) -> Iterable[tuple[set[str], list[str]]]:
        # What this run has stored minutes ago is there: objects are written whole or not at all.
        folders = _by_folder(self._marks.not_stored_here(names) for names in shards)
        everything = _all_below(self._marks.folder) if len(folders) > 1 else None
        return self._pool.map(lambda digests: self._listed(digests, everything), folders)

    def _on_disk(self, names: set[str]) -> tuple[set[str], list[str]]:
        return self._sorted_out(names, dict(_stats(path_of(self._marks.folder), names)))

    def _listed(self, digests: bytes, everything: dict[str, Stat] | None) -> tuple[set[str], list[str]]:
        names = {digests[at : at + 32].hex() for at in range(0, len(digests), 32)}
        found = _stats_in(self._marks.folder.child(digests[:1].hex())) if everything is None else everything
        return self._sorted_out(names, {name: found[name] for name in names & found.keys()})

    def _sorted_out(self, names: set[str], found: dict[str, Stat]) -> tuple[set[str], list[str]]:
        """(the pictures that are not there, those that must be read to know whether they are whole)."""
        return names - found.keys(), [name for name, stat in found.items() if not self._is_whole(stat)]

    def _is_whole(self, stat: Stat) -> bool:
        """Whether a picture is surely whole. Equal times prove nothing: the clocks of filesystems tick slowly."""
        size, changed_at = stat
        if not size:  # what a power cut leaves of a file that was not synced
            return False
        last_check = self._times.last_check
        unchanged = changed_at < last_check if last_check or self._is_local else True
        return unchanged or changed_at > self._times.run_began


def _stats(folder: str, names: Iterable[str]) -> Iterator[tuple[str, Stat]]:
    for name in names:
        try:
            found = os.stat(f"{folder}/{name[:2]}/{name}.jpg")  # noqa: PTH116 - a Path would take longer than the call
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield name, (found.st_size, found.st_mtime)


def _all_below(marks: Place) -> dict[str, Stat] | None:
    """The stats of all pictures, where one page of a listing has them; else None."""
    page = marks.call_s3(lambda fs, bucket, key: list_page(fs, bucket, f"{key}/"), "list")
    return _stats_of(page.objects) if page is not None and not page.next else None


def _stats_in(folder: Place) -> dict[str, Stat]:
    objects = folder.call_s3(lambda fs, bucket, key: list(list_objects(fs, bucket, f"{key}/")), "list")
    if objects is not None:
        return _stats_of(objects)
    return {file.place.name.removesuffix(".jpg"): (file.size, file.changed_at) for file in folder.listed()}


def _stats_of(objects: Iterable[S3Object]) -> dict[str, Stat]:
    return {item.key.rpartition("/")[2].removesuffix(".jpg"): (item.size, item.changed_at) for item in objects}


def _by_folder(shards: Iterable[set[str]]) -> list[bytes]:
    """The digests by the folder that they are in: so at most 256 listings find them, whatever their number."""
    packed: defaultdict[str, bytearray] = defaultdict(bytearray)
    for names in shards:
        for name in names:
            packed[name[:2]] += bytes.fromhex(name)
    return [bytes(digests) for digests in packed.values()]
