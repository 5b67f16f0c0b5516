"""What runs again: the rules of the cache, and the step runner that follows them.

A step is cached when there is a manifest for its key, no row in it is to be retried, and its file is complete. The key
is made of the step's name and version, the config fields that it reads, and the sha256 of what it reads, so a change
upstream that gives the same bytes stops where the bytes are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regioncap.config.roles import StepName
from regioncap.records import Counts, Row, Step
from regioncap.run.context import RunContext
from regioncap.storage.steps import STEP_NAMES, Manifest, digest, key_parts

if TYPE_CHECKING:
    from prefect import State


@dataclass(frozen=True)
class StepSpec:
    """How one step is run and what its key is made of.

    `name`: also how `read_by` of the config's fields refers to the step. `version`: raised whenever the step's output
    changes for the same input. `body`: the rows that it makes of the file that a `Step` refers to. `still_valid`:
    whether cached rows still hold, for what no key can know; takes their manifest and a function that reads them.
    `extra_key_parts`: further parts of the key, known only at run time; `shard_key_parts`: those that depend on the
    rows that a `Step` refers to, too.
    """

    name: StepName
    version: int | str
    body: Callable[[RunContext, Step], list[Row]]
    still_valid: Callable[[RunContext, Manifest, Callable[[], list[Row]]], bool] | None = None
    extra_key_parts: Callable[[RunContext], dict[str, Any]] | None = None
    shard_key_parts: Callable[[RunContext, Step], dict[str, Any]] | None = None

    @property
    def index(self) -> int:
        """Number of the step, 1 to 6."""
        return STEP_NAMES.index(self.name)

    def parts(self, context: RunContext, step: Step) -> dict[str, Any]:
        """What the key of this step's work on `step`'s file is made of. Raises StepDamaged where that file is read."""
        fields = context.config.values_read_by(self.name)
        if self.extra_key_parts is not None:
            fields |= self.extra_key_parts(context)
        if self.shard_key_parts is not None:
            fields |= self.shard_key_parts(context, step)
        return key_parts(self.name, str(self.version), fields, step.data)


def find_cached(spec: StepSpec, context: RunContext, step: Step) -> Manifest | None:
    """The manifest of this step's work on `step`'s file, if it is cached and still valid."""
    storage = context.storage.at(spec.index)
    manifest = storage.find(digest(spec.parts(context, step)))
    if manifest is None or spec.still_valid is None:
        return manifest
    cached = manifest.reference(step.shard)
    return manifest if spec.still_valid(context, manifest, lambda: storage.read(cached)) else None


def made_of(spec: StepSpec, context: RunContext, step: Step) -> Step | None:
    """What this step made of `step`'s file, if anything; rows that will be retried are included."""
    storage = context.storage.at(spec.index)
    manifest = storage.manifest(digest(spec.parts(context, step)))
    return manifest.reference(step.shard) if manifest is not None else None


def run_step(spec: StepSpec, context: RunContext, step: Step) -> State[Step]:
    """Do the step's work on `step`'s file, or take it from the cache: then the task run ends as `Cached`."""
    from prefect.states import Completed  # late, as in `lazy_task`

    cached = find_cached(spec, context, step)
    if cached is not None:
        message = f"{spec.name} {step.shard:05d}: reused"
        return Completed(name="Cached", message=message, data=cached.reference(step.shard))
    begun = time.perf_counter()
    rows = spec.body(context, step)
    seconds = time.perf_counter() - begun
    context.progress.add(Counts(step_seconds={spec.name: seconds}))
    manifest = context.storage.at(spec.index).write(spec.parts(context, step), rows, seconds)
    message = f"{spec.name} {step.shard:05d}: {manifest.rows} rows, {manifest.rejects} rejects"
    return Completed(message=message, data=manifest.reference(step.shard))
