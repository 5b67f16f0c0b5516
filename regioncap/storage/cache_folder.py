"""What lies in a cache: which files are whose, told by their folders and names. No file is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from regioncap.errors import StorageError, UsageError
from regioncap.storage.batch_records import BATCHES
from regioncap.storage.batch_records import NAME as BATCH_NAME
from regioncap.storage.claim_records import NAME as CLAIM_NAME
from regioncap.storage.claims import CLAIMS
from regioncap.storage.filesystem import Place
from regioncap.storage.items import Item
from regioncap.storage.journal import JOURNAL, NAME
from regioncap.storage.leftovers import CUT_OFF
from regioncap.storage.live_runs import LIVE
from regioncap.storage.live_runs import NAME as LIVE_NAME
from regioncap.storage.runs import RUNS
from regioncap.storage.steps import STEP_NAMES

MAX_NAMED = 5
"""Names of foreign files that are kept."""

Whose = Literal["ours", "leftover", "foreign"]
"""`leftover`: of a write that was cut off. `foreign`: nothing that a run makes, so that it is never touched."""

_PART_OF_DIGEST = re.compile(r"[0-9a-f]{2}")
_OF_PREFIX = re.compile(rf"(?P<prefix>.+)(?:_step[0-{len(STEP_NAMES) - 1}]|{RUNS})")


@dataclass(frozen=True)
class Kind:
    """Files of one kind. `folders`: inside the cache. `files`: what their names are like. `by_digest`: whether they lie
    in folders named by the first two digits of their names."""

    name: str
    folders: tuple[str, ...]
    files: re.Pattern[str]
    by_digest: bool = True


ANSWERS = Kind("answers", ("captions",), re.compile(r"[0-9a-f]{32}\.json"))
MARKS = Kind("marked pictures", ("marks",), re.compile(r"[0-9a-f]{64}\.jpg"))
ROW_IMAGES = Kind("images of rows", ("images",), re.compile(r"[0-9a-f]{64}"))
TAR_INDEXES = Kind("tar indexes", ("tars",), re.compile(r"[0-9a-f]{64}\.rows"))
TRIALS = Kind("trials of servers", ("endpoints",), re.compile(r"[0-9a-f]{32}\.json"), by_digest=False)
PROBES = Kind("probes of clusters", ("dask",), re.compile(r"[0-9a-f]+\.probe"), by_digest=False)
JOURNALS = Kind("journals", (JOURNAL,), NAME, by_digest=False)
LIVE_RUNS = Kind("live runs", (LIVE,), LIVE_NAME, by_digest=False)
CLAIMS_ON_ANSWERS = Kind("claims on answers", (CLAIMS,), CLAIM_NAME, by_digest=False)
BATCHES_OF_PROVIDERS = Kind("batches", (BATCHES,), BATCH_NAME, by_digest=False)
OF_ALL_PREFIXES = (
    ANSWERS, MARKS, ROW_IMAGES, TAR_INDEXES, TRIALS, PROBES, JOURNALS, LIVE_RUNS, CLAIMS_ON_ANSWERS,
    BATCHES_OF_PROVIDERS,
)  # fmt: skip


def step_files(prefix: str) -> Kind:
    """The step files of a prefix."""
    folders = tuple(f"{prefix}_step{step}" for step in range(len(STEP_NAMES)))
    return Kind("step files", folders, re.compile(r"[0-9a-f]{32}(?:-[0-9a-f]{8}\.jsonl|\.json)"), by_digest=False)


def register_of(prefix: str) -> Kind:
    """The register of a prefix's outputs."""
    return Kind("register", (f"{prefix}{RUNS}",), re.compile(r"[0-9a-f]{32}\.(?:json|marks|steps)"), by_digest=False)


class CacheFile(NamedTuple):
    """Something that lies in a cache, and whose it is."""

    folder: Place
    item: Item
    whose: Whose

    @property
    def place(self) -> Place:
        """Where it lies."""
        return self.folder.child(self.item.name)

    @property
    def stem(self) -> str:
        """The key or digest that its name begins with."""
        return self.item.name.partition(".")[0].partition("-")[0]


@dataclass
class CacheFolder:
    """The folder of a cache. `foreign`: how many names directly in it are not ours; `foreign_names`: the first of them.
    `unreadable`: folders that could not be listed so far, and why."""

    place: Place
    prefixes: list[str] = field(default_factory=list)
    foreign: int = 0
    foreign_names: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, place: Place) -> CacheFolder:
        """The cache in the folder `place`. Raises UsageError when there is none, StorageError."""
        found = cls(place)
        prefixes = found._possible_prefixes()
        for prefix, names in prefixes.items():
            # What cannot be looked into may be ours.
            if found._has_any(step_files(prefix), register_of(prefix)) or found.unreadable:
                found.prefixes.append(prefix)
            else:
                found._add_foreign(names)
        if not found.prefixes and not found._has_any(*OF_ALL_PREFIXES):
            if not place.is_folder():
                raise UsageError(f"--cache-path: {place.url} is not there; expected the cache of earlier runs")
            raise UsageError(
                f"--cache-path: {place.url} is no cache of RegionCap; expected a folder with the files of earlier runs "
                "in it, such as regioncap_step1/ and captions/"
            )
        return found

    def _possible_prefixes(self) -> dict[str, list[str]]:
        """Prefixes, in order, with the folders that look like theirs; other names that are not ours are noted."""
        ours = {folder for kind in OF_ALL_PREFIXES for folder in kind.folders}
        prefixes: dict[str, list[str]] = {}
        for item in self.place.items():
            of_prefix = _OF_PREFIX.fullmatch(item.name)
            if item.kind == "file" or (of_prefix is None and item.name not in ours):
                self._add_foreign([item.name])
            elif of_prefix is not None:
                prefixes.setdefault(of_prefix["prefix"], []).append(item.name)
        return dict(sorted(prefixes.items()))

    def _add_foreign(self, names: list[str]) -> None:
        self.foreign += len(names)
        self.foreign_names = [*self.foreign_names, *names][:MAX_NAMED]

    def _has_any(self, *kinds: Kind) -> bool:
        return any(file.whose == "ours" for kind in kinds for file in self.files(kind))

    def kinds(self) -> list[Kind]:
        """All kinds of files that may lie here."""
        of_prefixes = [make(prefix) for prefix in self.prefixes for make in (step_files, register_of)]
        return [*of_prefixes, *OF_ALL_PREFIXES]

    def files(self, kind: Kind) -> Iterator[CacheFile]:
        """All that lies in the folders of a kind, one at a time. What cannot be listed is noted in `unreadable`."""
        for name in kind.folders:
            folder = self.place.child(name)
            if not kind.by_digest:
                yield from self._of_folder(folder, kind)
                continue
            for item in self._items(folder):
                if item.kind == "directory" and _PART_OF_DIGEST.fullmatch(item.name):
                    yield from self._of_folder(folder.child(item.name), kind)
                else:
                    yield CacheFile(folder, item, "foreign")

    def _of_folder(self, folder: Place, kind: Kind) -> Iterator[CacheFile]:
        for item in self._items(folder):
            whose: Whose = "foreign"
            if item.kind == "file":
                whose = (
                    "ours" if kind.files.fullmatch(item.name) else
                    "leftover" if CUT_OFF.fullmatch(item.name) else "foreign"
                )  # fmt: skip
            yield CacheFile(folder, item, whose)

    def _items(self, folder: Place) -> Iterator[Item]:
        try:
            yield from folder.items()
        except StorageError as error:
            self.unreadable[error.url] = error.reason
