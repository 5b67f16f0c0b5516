"""Captions by files: what the rows lack is written into files of requests, which others answer; the results that they
put beside these are stored, before the ordinary captioning, which finds them in the cache.

Nothing is sent anywhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from regioncap.captioners.file_captioner import FileCaptioner
from regioncap.config.checks import absolute
from regioncap.errors import BudgetReached, CaptionerError, ConfigError, Stopped, Waiting
from regioncap.run.context import RunContext
from regioncap.storage.batch_records import BatchRecord
from regioncap.storage.filesystem import Place
from regioncap.storage.temporary import TemporaryFolder
from regioncap.tasks.batch_packing import PackingDesk
from regioncap.tasks.file_packing import FilePacking
from regioncap.tasks.file_results import (
    ENDING,
    RESULTS,
    FileState,
    finish,
    name_of,
    read_results,
    results_among,
)
from regioncap.tasks.recovery import recover

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
"""Between two looks at the folder, where `batch_wait` has a run stay."""

PAUSE_GROWTH = 1.5

MAX_NAMED = 5
"""Files that a message names."""

NOT_THERE = (
    "{folder}: this folder is not there, and {files} for results. Make it available again and rerun; "
    "`regioncap batches {output} --cancel` gives up what waits there"
)

logger = logging.getLogger("regioncap")


def caption_by_files(context: RunContext) -> None:
    """Have what the rows lack answered by files, as far as it is; the cache has the answers then.

    Raises Waiting while files are not answered that hold what is needed here, and what a run raises.
    """
    began = time.monotonic()
    context.claims.join(partial(recover, context, again=True))
    recover(context)
    try:
        with _open_desk(context) as desk:
            _RequestFiles(desk, began).run()
    finally:
        context.progress.waiting_for = None
    # Its limits are those of the whole run, of which files have used some: another is made with what is left.
    context.close_captioner()


@contextmanager
def _open_desk(context: RunContext) -> Iterator[PackingDesk]:
    captioner = context.captioner
    if not isinstance(captioner, FileCaptioner):
        raise ConfigError("delivery", "captioner 'openai' for files of requests", context.config.captioner)
    scratch = TemporaryFolder("batch")
    try:
        yield PackingDesk(context, captioner, captioner.wording, scratch.path)
    finally:
        scratch.remove()


class _RequestFiles:
    """The files that this run tends, of whichever output of its cache, and those that it needs. `began`: when, by the
    monotonic clock."""

    def __init__(self, desk: PackingDesk, began: float) -> None:
        self._desk = desk
        self._context = desk.context
        self._began = began
        self._states: dict[str, FileState] = {}
        """Files that are not finished, by their records' ids."""
        self._missing_folders: set[str] = set()
        self._seen: dict[str, dict[str, int]] = {}
        """Of each file, the results that were there at the last look, with their sizes."""
        self._leave: set[str] = set()
        """Keys of answers that are requested online."""
        self._noted: set[str] = set()

    def run(self) -> None:
        """See `caption_by_files`."""
        self._look()
        while True:
            needed, reached = self._write_missing()
            if not needed and reached:
                raise BudgetReached(f"{reached}. A rerun resumes, and may use as much again.")
            if not needed:
                return
            self._wait(needed, reached)

    # --- writing

    def _write_missing(self) -> tuple[set[str], str]:
        """(the ids of all records whose answers are needed here, the limit that was reached in words; "" for none)."""
        config, by = self._context.config, absolute(self._context.config.output)
        ours = {state.record.id for state in self._states.values() if state.record.by == by and not state.over}
        if ours and (config.max_requests is not None or config.max_usd is not None):
            return ours, ""  # what these use is not known yet
        packing = FilePacking(self._desk, self._leave)
        packing.pack_missing()
        for record in packing.written:
            self._states[record.id] = FileState(record)
        known = set(self._desk.records.ids())
        return (packing.elsewhere & known) | {record.id for record in packing.written}, packing.limits.reached

    # --- waiting

    def _wait(self, needed: set[str], reached: str) -> None:
        """Returns when what is needed is there. Raises Waiting, Stopped, CaptionerError."""
        until, pause = self._began + (self._context.config.batch_wait or 0.0), FIRST_PAUSE_SECONDS
        while True:
            waiting = self._open(needed)
            if not waiting:
                self._finish_all()
                return
            self._check_folders(waiting)
            words = self._in_words(waiting)
            self._show(waiting, words)
            left = until - time.monotonic()
            if left <= 0:
                self._name_strangers()
                raise Waiting(words, self._how(reached))
            if self._context.stop.wait(min(pause, left)):
                raise Stopped
            pause = min(MAX_PAUSE_SECONDS, pause * PAUSE_GROWTH)
            self._look()

    def _open(self, needed: set[str]) -> list[BatchRecord]:
        """The records among those `needed` that are not over."""
        records = [record for record in self._desk.records.all() if record.id in needed]
        return [record for record in records if not (record.id in self._states and self._states[record.id].over)]

    # --- looking

    def _look(self) -> None:
        """Take over what dead runs left, and store what results there are."""
        records, holder, living = self._desk.records, self._context.claims.holder, self._context.claims.living()
        listings: dict[str, dict[str, int] | None] = {}
        on_record = list(records.all())
        for gone in self._states.keys() - {record.id for record in on_record}:
            self._forget(gone)  # given up by a command meanwhile
        for record in on_record:
            if not record.request_file or (taken := records.take_over(record, holder, living)) is None:
                continue
            place = self._place(taken)
            folder = place.parent
            if folder.url not in listings:
                listings[folder.url] = _listing(folder)
            there = listings[folder.url]
            if there is None:
                self._missing_folders.add(folder.url)
                continue
            self._missing_folders.discard(folder.url)
            if taken.file or place.name in there:
                self._read(taken.changed(file=place.name), there)
            else:  # it was never written
                records.remove(taken)
        if all(state.over for state in self._states.values()):
            self._finish_all()

    def _read(self, record: BatchRecord, there: Mapping[str, int]) -> None:
        names = [*results_among(there, name_of(record.request_file)), record.file]
        seen = {name: there[name] for name in names if name in there}
        if self._seen.get(record.id) == seen:
            return
        self._seen[record.id] = seen
        state = read_results(self._desk, record, there)
        record = self._desk.records.write(record.changed(done=state.answered))
        self._states[record.id] = state = replace(state, record=record)
        if state.note and state.note not in self._noted:
            self._noted.add(state.note)
            logger.warning("%s", state.note)
        if state.over and not self._context.config.rest_online:
            self._finish(state)

    def _finish_all(self) -> None:
        """Finish all files that are over. Where the rest is requested online, they are kept until none waits any more:
        what they lack must not be written into others meanwhile."""
        for state in list(self._states.values()):
            if state.over:
                self._leave |= state.missing
                self._finish(state)

    def _finish(self, state: FileState) -> None:
        finish(self._desk, state)
        self._forget(state.record.id)

    def _forget(self, record: str) -> None:
        self._states.pop(record, None)
        self._seen.pop(record, None)

    def _check_folders(self, waiting: list[BatchRecord]) -> None:
        folders = [self._place(record).parent.url for record in waiting]
        for folder in self._missing_folders.intersection(folders):
            count = folders.count(folder)
            files = f"{count:,} files in it wait" if count > 1 else "a file in it waits"
            raise CaptionerError(NOT_THERE.format(folder=folder, files=files, output=self._context.output.url))

    def _place(self, record: BatchRecord) -> Place:
        return self._context.files.place(record.request_file)

    # --- in words

    def _show(self, waiting: list[BatchRecord], words: str) -> None:
        total, done = (sum(getattr(record, name) for record in waiting) for name in ("requests", "done"))
        self._context.progress.waiting_for = (min(99.0, 100 * done / max(1, total)), words)

    def _in_words(self, waiting: list[BatchRecord]) -> str:
        files = [
            f"{self._place(record).url} ({record.done:,} of {record.requests:,} answers)" for record in waiting
        ]  # fmt: skip
        which = (
            "1 file of requests waits for its results"
            if len(files) == 1
            else f"{len(files):,} files of requests wait for their results"
        )
        return f"{which}: {_listed(files)}"

    def _how(self, reached: str) -> str:
        more = f" {reached}: later runs write the rest." if reached else ""
        return (
            "Have each answered, with the results beside it, for example by `vllm run-batch -i NAME.requests.jsonl -o "
            f"NAME.results.jsonl --model {self._context.config.model}`, and rerun.{more}"
        )

    def _name_strangers(self) -> None:
        """Name result files that no file waits for: they may have the wrong name."""
        folder = self._context.files.place(absolute(self._context.config.requests_folder))
        there = _listing(folder) or {}
        waited_for = [name_of(state.record.request_file) for state in self._states.values()]
        ours = {result for name in waited_for for result in results_among(there, name)}
        strangers = [name for name in there if RESULTS in name and name.endswith(ENDING) and name not in ours]
        if strangers:
            logger.info(
                "%s: no file waits for these results, which were read before or belong to others: %s",
                folder.url, _listed(sorted(strangers)),
            )  # fmt: skip


def _listing(folder: Place) -> dict[str, int] | None:
    """Names and sizes of the files in a folder; None where there is no such folder on this machine's disks."""
    return folder.sizes() or ({} if not folder.is_local or folder.is_folder() else None)


def _listed(names: Iterable[str]) -> str:
    all_names = list(names)
    more = len(all_names) - MAX_NAMED
    return ", ".join(all_names[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
