"""What the registered runs of a cache need of it. Whatever cannot be known counts as needed, or is an error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from regioncap.captioners.remembered import names_for
from regioncap.command.registered_runs import Register, RegisteredRun
from regioncap.command.stopped_runs import RowsOfRun, has_answers
from regioncap.config.model import RegionCapConfig
from regioncap.errors import InputDamaged, RegionCapError, RowReject, StorageError, UsageError
from regioncap.inputs.readers import tar_index_names
from regioncap.output.audit_file import answers_of_audits
from regioncap.records import Row
from regioncap.row_work import row_work
from regioncap.run.context import RunContext
from regioncap.run.credentials import filesystems_of
from regioncap.storage.cache_folder import CacheFile, step_files
from regioncap.storage.filesystem import Place
from regioncap.storage.row_images import digests_in
from regioncap.storage.steps import STEP_NAMES, StepDamaged, StepStorage
from regioncap.tasks.answers import keys_of_answers
from regioncap.tasks.region_questions import keys_of_questions

LOADED, DRAWN = STEP_NAMES.index("load"), STEP_NAMES.index("visualize")


class KeysUnknown(UsageError):
    """A bug met by a row: the answers that it needs cannot be known."""


class StepsGone(Exception):
    """Step files of a finished run are not there any more, or damaged."""


@dataclass(frozen=True)
class Needed:
    """What is needed, by kind, as the first part of the files' names."""

    register: Register

    def step_files(self, prefix: str) -> set[str]:
        """Keys of the step files that the latest finished runs of a prefix were made with."""
        return {key for run in self.register.of_prefix(prefix) for keys in run.content.shards for key in keys}

    def row_images(self, going: Iterable[CacheFile] = ()) -> set[str] | None:
        """Digests of the images that the step files name which stay: all but `going`; None if some cannot be listed."""
        gone = {(file.folder.address, file.item.name) for file in going}
        needed: set[str] = set()
        for prefix in self.register.folder.prefixes:
            for file in self.register.folder.files(step_files(prefix)):
                is_loaded = file.folder.address.endswith(f"_step{LOADED}") and file.item.name.endswith(".jsonl")
                if is_loaded and file.whose == "ours" and (file.folder.address, file.item.name) not in gone:
                    with contextlib.suppress(FileNotFoundError):  # another prune was faster
                        needed.update(digests_in(file.place.read()))
        return None if self.register.folder.unreadable else needed

    def tar_indexes(self) -> set[str] | None:
        """Names of the tar indexes of the inputs as they are now; None if that cannot be told of an input."""
        needed: set[str] = set()
        for run in self.register.runs:
            try:
                config = run.config(self._place, finished=False)
                needed.update(tar_index_names(config, filesystems_of(config)))
            except (RegionCapError, FileNotFoundError):
                return None
        return needed

    def trials(self) -> set[str] | None:
        """Names of what is remembered of the servers of the latest runs; None if a run's settings cannot be read."""
        try:
            return {name for run in self.register.runs for name in names_for(run.config(self._place, finished=False))}
        except RegionCapError:
            return None

    def marks(self) -> set[str] | None:
        """Digests of the marked pictures that the latest finished runs drew; None if that cannot be told of a run."""
        needed: set[str] = set()
        for run in self.register.runs:
            try:
                for row in self._rows_drawn(run):
                    if "reject" in row:
                        continue
                    needed.update(picture["sha256"] for picture in (row["marked"], *row.get("parts", [])))
            except StepsGone:
                return None
        return needed

    def answers_of_finished(self) -> tuple[set[str], list[RegisteredRun]]:
        """(keys of the answers that the latest finished runs looked up, the runs of which these may not be all: they
        were stopped, or some of their step files are gone), with those of their audits. Reads no image."""
        needed: set[str] = set()
        others: list[RegisteredRun] = []
        for run in self.register.runs:
            config = run.config(self._place, finished=True, image_root=".", **_without_plugin(run))
            try:
                with contextlib.closing(RunContext(config)) as context:
                    needed.update(answers_of_audits(context.output))
                    for key in _keys(self._rows_drawn(run), context):
                        needed.add(key)
            except StepsGone:
                others.append(run)
            else:
                others += [] if run.content.finished else [run]
        return needed, others

    def answers_to_look_up(self, run: RegisteredRun) -> Iterator[set[str]]:
        """Keys of the answers that this run would look up, a shard's at a time: the latest run of its output, and the
        latest finished one. Reads the images of rows that these did not come to.

        Raises UsageError when that cannot be known.
        """
        yield from _keys_of_input(run, run.config(self._place, finished=False))
        if run.content.shards and run.content.finished_config != run.content.config:
            yield from self._keys_of_gone(run)

    def _keys_of_gone(self, run: RegisteredRun) -> Iterator[set[str]]:
        try:
            for _ in self._rows_drawn(run):
                pass
        except StepsGone:
            yield from _keys_of_input(run, run.config(self._place, finished=True))

    def _rows_drawn(self, run: RegisteredRun) -> Iterator[Row]:
        """The rows of the latest finished run that answers may belong to. Raises StepsGone."""
        storage = StepStorage(self._place.address, run.prefix, DRAWN, files=self._place.files)
        for shard, keys in enumerate(run.content.shards):
            manifest = storage.manifest(keys[DRAWN]) if len(keys) > DRAWN else None
            if manifest is None:
                raise StepsGone
            try:
                rows = storage.read(manifest.reference(shard))
            except StepDamaged:
                raise StepsGone from None
            yield from filter(has_answers, rows)

    @property
    def _place(self) -> Place:
        return self.register.folder.place


def _keys_of_input(run: RegisteredRun, config: RegionCapConfig) -> Iterator[set[str]]:
    stopped = f"--answers: the run for {run.content.output} was stopped, or its step files are gone"
    if not run.has_known_folder():
        raise UsageError(
            f"{stopped}, and nothing tells in which folder it was started, where the path of its input begins; run it "
            "again, or leave it out with --forget"
        )
    rows = RowsOfRun(config)
    try:
        with contextlib.closing(RunContext(config)) as context:
            if context.captioner.paid or config.asks_for_regions:
                for shard in rows.shards():
                    yield set(_keys(shard, context))
    except KeysUnknown:
        raise
    except (UsageError, InputDamaged, StorageError, FileNotFoundError) as error:
        raise UsageError(
            f"{stopped}, and its input cannot be read, so the answers that it would use are not known ({error}); "
            "finish it, or leave it out with --forget"
        ) from None
    if rows.unknown:
        raise UsageError(
            f"{stopped}, and the images of {rows.unknown:,} of its rows cannot be read now, so the answers that it "
            "would use are not known; finish it, or leave it out with --forget"
        )


def _keys(rows: Iterable[Row], context: RunContext) -> Iterator[str]:
    """Keys of all answers that may be looked up for these rows. Raises KeysUnknown."""
    for row in rows:
        for keys_of in (keys_of_questions, _keys_of_captions):
            try:
                with row_work("prune", row.get("image", "")):
                    keys = list(keys_of(row, context))
            except RowReject as reject:
                if reject.code == "internal_error":
                    raise KeysUnknown(
                        f"--answers: the answers that a row of {context.output.url} would use are not known "
                        f"({reject.message}); no answer was removed"
                    ) from None
                continue  # it lacks a field of the prompt, so nothing is asked for it
            yield from keys


def _keys_of_captions(row: Row, context: RunContext) -> Iterator[str]:
    if context.captioner.paid and "reject" not in row:
        yield from (key for key, _ in keys_of_answers(row, context))


def _without_plugin(run: RegisteredRun) -> dict[str, Any]:
    """The settings of a finished run for which its images are not read, and no regions found: a finder of the user's
    may be gone. One that is a model is known by its settings."""
    values = run.content.finished_config if run.content.shards else run.content.config
    if values.get("extractor") == "vlm":
        return {}
    return {"extractor": RegionCapConfig.model_fields["extractor"].default, "extractor_options": {}}
