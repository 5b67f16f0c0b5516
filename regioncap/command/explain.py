"""What a cache holds of a run: the rows of a step, how far the rows are, why a step would run again. Runs nothing."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.image_ref import without_place
from regioncap.records import Shard, Step
from regioncap.run.context import RunContext
from regioncap.storage.runs import entry_place, registered
from regioncap.storage.steps import Manifest, StepDamaged, digest
from regioncap.tasks.shard import STEPS, input_step
from regioncap.tasks.so_far import rows_so_far, steps_so_far
from regioncap.tasks.step import StepSpec, find_cached, made_of


def rows_of_step(config: RegionCapConfig, number: int) -> Iterator[tuple[int, bytes | None]]:
    """(shard, its rows after step `number` as JSON Lines, or None where that is not done), in the input's order.

    Raises UsageError and InputDamaged for the input, StorageError.
    """
    with contextlib.closing(RunContext(config)) as context:
        for shard in context.shards():
            if number == 0:
                yield shard.index, b"".join(without_place(text)[0] + b"\n" for _, text in shard.lines)
                continue
            step: Step | None = input_step(shard)
            for spec in STEPS[:number]:
                step = step and made_of(spec, context, step)
            yield shard.index, context.storage.read_bytes(step) if step else None


@dataclass(frozen=True)
class Finding:
    """Whether one step of one shard is reused; if not, `why`."""

    shard: int
    step: str
    reused: bool
    why: str = ""


def explain_run(config: RegionCapConfig, *, verify: bool) -> Iterator[str]:
    """Lines of text: for each shard and step `reused`, or why it would run again, and how many rows of a shard have
    their captions all the same; then the counts of each step, and of the rows.

    `verify`: read every step file and compare its sha256. Raises what `rows_of_step` raises.
    """
    reused: Counter[str] = Counter()
    again: Counter[str] = Counter()
    rows = RowCounts()
    with contextlib.closing(RunContext(config)) as context:
        before = _registered_manifests(context)
        for shard in context.shards():
            for finding in _explain_shard(shard, context, before, verify):
                (reused if finding.reused else again)[finding.step] += 1
                state = "reused" if finding.reused else f"runs again: {finding.why}"
                yield f"shard {finding.shard:05d}  {finding.step:<9}  {state}"
            of_shard = _count_rows(shard, context)
            rows.add(of_shard)
            if of_shard.not_yet and of_shard.not_yet < of_shard.rows:
                yield f"shard {shard.index:05d}  {'rows':<9}  {of_shard}"
    yield ""
    for spec in STEPS:
        yield f"{spec.name:<9}  {reused[spec.name]:>6} reused  {again[spec.name]:>6} to run"
    yield f"{'rows':<9}  {rows}"


# --- how far its rows are


@dataclass
class RowCounts:
    """Rows by how far they are. `captions`: those of all rows, also of rows that still lack some."""

    captioned: int = 0
    rejected: int = 0
    not_yet: int = 0
    captions: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.captioned + self.rejected + self.not_yet

    def add(self, more: RowCounts) -> None:
        """Add all numbers of `more`."""
        for name, count in vars(more).items():
            setattr(self, name, getattr(self, name) + count)

    def __str__(self) -> str:
        return (
            f"{self.captioned:,} of {self.rows:,} captioned, {self.rejected:,} rejected, {self.not_yet:,} not yet; "
            f"{self.captions:,} captions"
        )


def _count_rows(shard: Shard, context: RunContext) -> RowCounts:
    counts = RowCounts()
    with contextlib.suppress(StepDamaged):
        steps = steps_so_far(shard, context)
        if len(steps) > len(STEPS) and not steps[-1].rejects:
            captions = sum(len(row["captions"]) for row in context.storage.read(steps[-1]))
            return RowCounts(captioned=steps[-1].rows, captions=captions)
        for row in rows_so_far(context, steps) if len(steps) > 1 else ():
            counts.captions += len(row.captions)
            if row.result is not None and "reject" in row.result:
                counts.rejected += 1
            elif row.result is not None:
                counts.captioned += 1
    counts.not_yet = len(shard.lines) - counts.captioned - counts.rejected
    return counts


# --- why a step would run again


def _explain_shard(
    shard: Shard, context: RunContext, before: dict[str, list[tuple[int, Manifest]]], verify: bool
) -> Iterator[Finding]:
    step = input_step(shard)
    for place, spec in enumerate(STEPS):
        done, why = _done_or_why(spec, context, step, before.get(spec.name, []), verify)
        if done is None:
            yield Finding(shard.index, spec.name, False, why)
            for later in STEPS[place + 1 :]:
                yield Finding(shard.index, later.name, False, f"if {spec.name!r} gives something else")
            return
        yield Finding(shard.index, spec.name, True)
        step = done.reference(shard.index)


def _done_or_why(
    spec: StepSpec, context: RunContext, step: Step, before: list[tuple[int, Manifest]], verify: bool
) -> tuple[Manifest | None, str]:
    storage = context.storage.at(spec.index)
    try:
        parts = spec.parts(context, step)
        done = find_cached(spec, context, step)
        if done is not None and verify:
            storage.read_bytes(done.reference(step.shard))
    except StepDamaged as damaged:
        return None, f"its file is damaged: {damaged.url}"
    if done is not None:
        return done, ""
    manifest = storage.manifest(digest(parts))
    if manifest is None:
        return None, _difference(parts, _nearest(step, before))
    if manifest.retryable:
        return None, f"{manifest.retryable} rows may succeed this time"
    if storage.folder.child(manifest.data).size() != manifest.bytes:
        return None, f"its file is missing or truncated: {storage.folder.child(manifest.data).url}"
    return None, "the size or time of an image changed"


def _registered_manifests(context: RunContext) -> dict[str, list[tuple[int, Manifest]]]:
    """The (shard, manifest) pairs of the output's last run, by step name."""
    config = context.config
    shards = registered(entry_place(context.cache, config.file_name_prefix, config.output)).shards
    found: dict[str, list[tuple[int, Manifest]]] = {}
    for shard, keys in enumerate(shards):
        for spec, key in zip(STEPS, keys[1:], strict=False):
            manifest = context.storage.at(spec.index).manifest(key)
            if manifest is not None:
                found.setdefault(spec.name, []).append((shard, manifest))
    return found


def _nearest(step: Step, before: Iterable[tuple[int, Manifest]]) -> Manifest | None:
    """The earlier work to compare with: that on the same rows, else that on the shard with the same number."""
    same_place = None
    for shard, manifest in before:
        if manifest.input_sha256 == step.data:
            return manifest
        if shard == step.shard:
            same_place = manifest
    return same_place


def _difference(parts: dict[str, Any], earlier: Manifest | None) -> str:
    """What changed in the key, in words."""
    if earlier is None:
        return "never done before"
    old = earlier.key_parts
    changes = []
    if parts["step_version"] != old.get("step_version"):
        changes.append(f"STEP_VERSION {old.get('step_version')} -> {parts['step_version']}")
    fields, old_fields = parts["fields"], old.get("fields", {})
    for name in sorted(fields.keys() | old_fields.keys()):
        if fields.get(name) != old_fields.get(name):
            changes.append(f"{name} {old_fields.get(name)!r} -> {fields.get(name)!r}")
    if parts["input_sha256"] != old.get("input_sha256"):
        changes.append("other rows" if parts["step"] == "load" else "other rows from the step before")
    return "; ".join(changes) or "its manifest was removed"
