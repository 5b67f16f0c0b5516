"""What lies in a cache, counted by kind: how much of it no registered run needs, what that costs, what removes it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field

from regioncap.command.needed import Needed
from regioncap.command.registered_runs import Register
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.storage.cache_folder import (
    ANSWERS,
    CLAIMS_ON_ANSWERS,
    JOURNALS,
    LIVE_RUNS,
    MARKS,
    MAX_NAMED,
    PROBES,
    ROW_IMAGES,
    TAR_INDEXES,
    TRIALS,
    CacheFile,
    CacheFolder,
    Kind,
    register_of,
    step_files,
)

TICK = 100_000
"""Files after which it is said how many were counted."""

FREE = "made again from the input, costs CPU only"
TRIED = "found out again, costs a few requests a server"
DRAWN = "drawn again when an output names them, costs CPU only"
PAID = "paid for: removed, they are requested again"
OF_LIVE = "of runs that go on; what dead ones left goes with the next run"
TAKEN_UP = "replies that are not stored yet: of runs that go on, or that the next run recovers"


@dataclass
class Count:
    """Files of one kind. Sizes are bytes, times seconds since 1970, None without files.

    `unneeded`: files that no registered run needs; None if that is not known, or not asked. `cost`: what it costs to
    remove them. `command`: what removes them; "" if nothing does.
    """

    kind: str
    cost: str = ""
    command: str = ""
    files: int = 0
    bytes: int = 0
    oldest: float | None = None
    newest: float | None = None
    unneeded: int | None = None
    unneeded_bytes: int = 0

    def add(self, file: CacheFile, needed: Set[str] | None) -> None:
        """Count a file. `needed`: which of the kind are; None if that is not known."""
        changed_at = file.item.changed_at
        self.files += 1
        self.bytes += file.item.size
        self.oldest = changed_at if self.oldest is None else min(self.oldest, changed_at)
        self.newest = changed_at if self.newest is None else max(self.newest, changed_at)
        if needed is not None:
            is_unneeded = file.stem not in needed
            self.unneeded = (self.unneeded or 0) + is_unneeded
            self.unneeded_bytes += file.item.size * is_unneeded


@dataclass(frozen=True)
class Output:
    """A registered output. `finished`: whether its latest run did; else it was stopped, or still runs; None if an
    earlier version did not record it. `changed_at`: when that run began or finished, seconds since 1970."""

    output: str
    prefix: str
    finished: bool | None
    changed_at: float


@dataclass
class Contents:
    """All that lies in a cache. `foreign`: how many files no run made, which nothing ever touches; `foreign_names`:
    some of them. `unreadable`: folders that could not be listed, and why."""

    cache: str
    kinds: list[Count] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    damaged_entries: list[str] = field(default_factory=list)
    foreign: int = 0
    foreign_names: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    def add_foreign(self, name: str) -> None:
        """Count a file that is not ours."""
        self.foreign += 1
        if len(self.foreign_names) < MAX_NAMED:
            self.foreign_names.append(name)


def contents_of(folder: CacheFolder, tick: Callable[[int], None] = lambda _: None) -> Contents:
    """Count what lies in a cache. `tick` is called with the number of files every now and then.

    Raises StorageError.
    """
    register = Register.of(folder)
    found = Contents(folder.place.url, damaged_entries=[entry.url for entry in register.damaged])
    found.foreign, found.foreign_names = folder.foreign, list(folder.foreign_names)
    leftovers, seen = Count("leftovers of killed runs", FREE, _prune(folder)), 0
    for kind, count, needed in _kinds(folder, register, leftovers):
        for file in folder.files(kind):
            seen += 1
            if not seen % TICK:
                tick(seen)
            if file.whose == "foreign":
                found.add_foreign(file.place.relative_to(folder.place.address))
            elif file.whose == "leftover":
                leftovers.add(file, set())
            else:
                count.add(file, needed)
        found.kinds += [count] if count.files and count not in found.kinds else []
    found.unreadable = folder.unreadable
    found.outputs = [
        Output(run.content.output, run.prefix, run.content.finished, run.changed_at)
        for run in sorted(register.runs, key=lambda run: -run.changed_at)
    ]
    return found


def _kinds(folder: CacheFolder, register: Register, leftovers: Count) -> Iterator[tuple[Kind, Count, Set[str] | None]]:
    """Each kind, its count, and which of its files are needed, if that is known; leftovers last."""
    needed, known = Needed(register), not register.damaged
    for prefix in folder.prefixes:
        steps = Count(f"step files ({prefix})", FREE, _prune(folder, prefix=prefix))
        yield step_files(prefix), steps, needed.step_files(prefix) if known else None
    row_images = needed.row_images() if any(folder.files(ROW_IMAGES)) else set[str]()  # it reads the rows
    yield ROW_IMAGES, Count("images of rows", FREE, _prune(folder)), row_images
    yield TAR_INDEXES, Count("tar indexes", FREE, _prune(folder)), needed.tar_indexes() if known else None
    yield TRIALS, Count(TRIALS.name, TRIED, _prune(folder)), needed.trials() if known else None
    yield MARKS, Count("marked pictures", DRAWN, _prune(folder, "--marks")), needed.marks() if known else None
    yield ANSWERS, Count("answers", PAID, _prune(folder, "--answers")), _answers(needed) if known else None
    yield JOURNALS, Count(JOURNALS.name, TAKEN_UP), None
    for kind in (LIVE_RUNS, CLAIMS_ON_ANSWERS):
        yield kind, Count(kind.name, OF_LIVE), None
    for prefix in folder.prefixes:
        yield register_of(prefix), Count(f"register ({prefix})"), None
    yield PROBES, leftovers, set()


def _answers(needed: Needed) -> set[str] | None:
    try:
        answers, of_stopped = needed.answers_of_finished()
    except UsageError:  # settings of another version, or a captioner that is not installed here
        return None
    return None if of_stopped or not needed.register.runs else answers


def _prune(folder: CacheFolder, more: str = "", prefix: str = "") -> str:
    """The command that removes a kind from this cache. `prefix`: whose step files; "": whichever the cache has."""
    defaults = {name: str(RegionCapConfig.model_fields[name].default) for name in ("cache_path", "file_name_prefix")}
    if not prefix and folder.prefixes and defaults["file_name_prefix"] not in folder.prefixes:
        prefix = folder.prefixes[0]
    given = {"cache_path": folder.place.url, "file_name_prefix": prefix}
    flags = [
        f"--{name.replace('_', '-')} {shlex.quote(value)}"
        for name, value in given.items()
        if value not in ("", defaults[name])
    ]
    return " ".join(filter(None, ["regioncap prune", *flags, more]))
