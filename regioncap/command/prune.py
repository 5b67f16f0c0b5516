"""What no run needs any more in a cache: step files, images that rows held and, on demand, marked pictures and answers.

A run is known by its entry in the register. Step files cost processor time to make again, and images come from the
input again; answers were paid for, and outputs name marked pictures, so these are removed only on demand.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.records import Row
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Found, Place
from regioncap.storage.row_images import FOLDER, digests_in
from regioncap.storage.runs import RUNS, RegisterEntry, entries, entry_place, registered
from regioncap.storage.steps import STEP_NAMES, StepStorage
from regioncap.tasks.answers import keys_of_answers

LOADED, DRAWN = STEP_NAMES.index("load"), STEP_NAMES.index("visualize")


@dataclass
class Unneeded:
    """Files of one kind that no registered run needs. `seen`: how many files of that kind there are."""

    kind: str
    seen: int = 0
    places: list[Place] = field(default_factory=list)
    bytes: int = 0

    def collect(self, files: Iterable[Found], needed: set[str], before: float) -> None:
        """Add those of `files` whose names begin with nothing in `needed`, and that are older than `before`."""
        for file in files:
            self.seen += 1
            if file.place.name.partition(".")[0].partition("-")[0] not in needed and file.changed_at <= before:
                self.places.append(file.place)
                self.bytes += file.size

    def remove(self) -> None:
        """Delete the files."""
        with ThreadPoolExecutor(16) as pool:
            for _ in pool.map(Place.remove, self.places):
                pass


@dataclass
class Cache:
    """A cache folder with all its registered runs, of every prefix."""

    folder: Place
    runs: dict[str, list[RegisterEntry]] = field(default_factory=dict)
    """By prefix."""

    @classmethod
    def at(cls, folder: Place, forgotten: Sequence[str] = ()) -> Cache:
        """The cache in `folder`, without the runs of the outputs `forgotten`. Raises UsageError when there is none."""
        if not folder.is_folder():
            raise UsageError(f"--cache-path: {folder.url} is not there; expected the cache of earlier runs")
        prefixes = [name.removesuffix(RUNS) for name in folder.names() if name.endswith(RUNS)]
        runs = {}
        for prefix in prefixes:
            left_out = {entry_place(folder, prefix, output) for output in forgotten}
            runs[prefix] = [registered(entry) for entry in entries(folder, prefix) if entry not in left_out]
        return cls(folder, runs)

    def forget(self, outputs: Sequence[str], prefix: str) -> None:
        """Remove the runs of these outputs from the register."""
        for output in outputs:
            entry_place(self.folder, prefix, output).remove()

    def storage(self, prefix: str) -> StepStorage:
        """The step files of a prefix."""
        return StepStorage(self.folder.address, prefix, files=self.folder.files)

    def drawn(self, prefix: str, run: RegisterEntry) -> Iterator[Row]:
        """The rows of a run whose marks were drawn, from the step files that still exist."""
        storage = self.storage(prefix).at(DRAWN)
        for shard, keys in enumerate(run.shards):
            manifest = storage.manifest(keys[DRAWN])
            if manifest is not None:
                yield from (row for row in storage.read(manifest.reference(shard)) if "reject" not in row)


def unneeded_steps(cache: Cache, prefix: str, before: float) -> Unneeded:
    """Step files of `prefix` that no registered run names."""
    found = Unneeded("step files")
    for step in range(len(STEP_NAMES)):
        needed = {keys[step] for run in cache.runs.get(prefix, []) for keys in run.shards if len(keys) > step}
        found.collect(cache.storage(prefix).at(step).folder.listed(), needed, before)
    return found


def unneeded_images(cache: Cache, prefix: str, steps: Unneeded, before: float) -> Unneeded:
    """Images that rows held, and that none of the step files names which stay. `steps`: those of `prefix` that go."""
    needed: set[str] = set()
    if cache.folder.child(FOLDER).is_folder():
        going = {place.address for place in steps.places}
        prefixes = {*cache.runs, prefix}
        for file in (file for one in prefixes for file in cache.storage(one).at(LOADED).folder.listed()):
            if file.place.address not in going and file.place.name.endswith(".jsonl"):
                with contextlib.suppress(FileNotFoundError):  # another prune was faster
                    needed.update(digests_in(file.place.read()))
    return _in_folders(cache, "images of rows", FOLDER, needed, before)


def unneeded_marks(cache: Cache, before: float) -> Unneeded:
    """Marked pictures that no registered run drew."""
    drawn = (row for prefix, runs in cache.runs.items() for run in runs for row in cache.drawn(prefix, run))
    needed = {picture["sha256"] for row in drawn for picture in (row["marked"], *row.get("parts", []))}
    return _in_folders(cache, "marked pictures", "marks", needed, before)


def unneeded_answers(cache: Cache, before: float) -> Unneeded:
    """Answers that no registered run would reuse. Raises UsageError when that cannot be known."""
    if not any(run.shards for runs in cache.runs.values() for run in runs):
        raise UsageError(
            f"--answers: no complete run is registered in {cache.folder.url}, so all would go; remove its folder "
            "captions/ by hand if you mean that"
        )
    needed: set[str] = set()
    for prefix, runs in cache.runs.items():
        for run in runs:
            with contextlib.closing(RunContext(_config_of(run, cache))) as context:
                if context.captioner.paid:
                    needed.update(key for row in cache.drawn(prefix, run) for key, _ in keys_of_answers(row, context))
    return _in_folders(cache, "answers", "captions", needed, before)


def _config_of(run: RegisterEntry, cache: Cache) -> RegionCapConfig:
    # Its images are not read, wherever they were, and no regions are found: a finder may be gone.
    finder = {"extractor": RegionCapConfig.model_fields["extractor"].default, "extractor_options": {}}
    known = {**run.config, **finder, "cache_path": cache.folder.address, "image_root": "."}
    try:
        return RegionCapConfig(**known)
    except UsageError as error:
        raise UsageError(
            f"--answers: the settings of the run for {run.output} cannot be read ({error}), so its answers are not "
            "known; run it again, or leave it out with --forget"
        ) from None


def _in_folders(cache: Cache, kind: str, name: str, needed: set[str], before: float) -> Unneeded:
    found = Unneeded(kind)
    folder = cache.folder.child(name)
    for part in folder.names():  # a few hundred folders, so that few names are held at a time
        found.collect(folder.child(part).listed(), needed, before)
    return found


def older_than(hours: float) -> float:
    """The time, in seconds since 1970, `hours` ago."""
    return time.time() - hours * 3600
