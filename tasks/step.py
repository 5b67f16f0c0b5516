"""What runs again: the rules of the cache, and the step runner that keeps to them.

A step is done when there is a manifest for its key, nothing in it is to be tried again, and its file is there in
full. The key is made of the step's name and version, the config fields that it declares, and the sha256 of what it
reads, so a change upstream that gives the same bytes stops where the bytes are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prefect import State
from prefect.states import Completed

from regioncap.records import Counts, Row, Step
from regioncap.run.context import RunContext
from regioncap.storage.steps import STEP_NAMES, Manifest, digest, key_parts


@dataclass(frozen=True)
class StepSpec:
    """How one step is run and what its key is made of.

    `version`: raised whenever the step's output changes for the same input. `fields`: the config fields that it
    reads. `body`: the rows that it makes of the file that a `Step` refers to. `fresh`: whether rows made earlier still
    hold, for what no key can know; it is given their manifest and a function that reads them. `extra`: further parts
    of the key, known only at run time.
    """

    name: str
    version: int | str
    fields: tuple[str, ...]
    body: Callable[[RunContext, Step], list[Row]]
    fresh: Callable[[RunContext, Manifest, Callable[[], list[Row]]], bool] | None = None
    extra: Callable[[RunContext], dict[str, Any]] | None = None

    @property
    def index(self) -> int:
        """Number of the step, 1 to 6."""
        return STEP_NAMES.index(self.name)

    def parts(self, context: RunContext, step: Step) -> dict[str, Any]:
        """The parts of the key of this step's work on `step`'s file."""
        fields = context.config.fields(self.fields)
        if self.extra is not None:
            fields |= self.extra(context)
        return key_parts(self.name, str(self.version), fields, step.data)


def find_done(spec: StepSpec, context: RunContext, step: Step) -> Manifest | None:
    """The manifest of this step's work on `step`'s file, if that work need not be done again."""
    storage = context.storage.at(spec.index)
    manifest = storage.find(digest(spec.parts(context, step)))
    if manifest is None or spec.fresh is None:
        return manifest
    made = manifest.reference(step.shard)
    return manifest if spec.fresh(context, manifest, lambda: storage.read(made)) else None


def run_step(spec: StepSpec, context: RunContext, step: Step) -> State[Step]:
    """Do the step's work on `step`'s file, or find it done: then the task run ends as `Cached`."""
    done = find_done(spec, context, step)
    if done is not None:
        return Completed(
            name="Cached", message=f"{spec.name} {step.shard:05d}: reused", data=done.reference(step.shard)
        )
    begun = time.perf_counter()
    rows = spec.body(context, step)
    seconds = time.perf_counter() - begun
    context.progress.add(Counts(step_seconds={spec.name: seconds}))
    manifest = context.storage.at(spec.index).write(spec.parts(context, step), rows, seconds)
    message = f"{spec.name} {step.shard:05d}: {manifest.rows} rows, {manifest.rejects} rejects"
    return Completed(message=message, data=manifest.reference(step.shard))
