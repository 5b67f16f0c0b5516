"""An output in parts: one per shard, written as the shard finishes, so that it can be used before the run ends."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence

from regioncap.output.already_written import already_written
from regioncap.output.audit_file import write_audit
from regioncap.output.edits import list_unused
from regioncap.output.join import (
    ShardSteps,
    Tally,
    incomplete_reason_of_run,
    key_of,
    row_format,
    summary_of,
    with_bill,
    write_key,
    write_rows,
)
from regioncap.output.lease import check_still_held
from regioncap.output.outputs import OutputPart, PartOutputs
from regioncap.output.summary import Summary
from regioncap.records import Row
from regioncap.run.context import RunContext
from regioncap.storage.steps import StepDamaged


class PartWriter:
    """Writes an output in parts: each as its shard finishes, index, summary and `_SUCCESS` at the end.

    An existing part is left untouched: its name holds its write key. `written`: parts that an earlier writer of this
    run wrote.
    """

    def __init__(self, context: RunContext, written: Iterable[OutputPart] = ()) -> None:
        self._context = context
        self._files = PartOutputs(context.output)
        self._form = row_format(context)
        self._known = {**self._files.read_index(), **{part.name: part for part in written}}
        self._sizes = self._files.output.sizes()

    @property
    def parts(self) -> list[OutputPart]:
        """All parts that are known to be there."""
        return list(self._known.values())

    def add(self, steps: ShardSteps) -> OutputPart:
        """The part of a shard, written unless it exists. Raises what `write_rows` raises, and StorageError."""
        name = f"part-{steps[0].shard:05d}-{key_of([steps], self._context, self._form)}.jsonl"
        known = self._known.get(name)
        if known is not None and self._sizes.get(name) == known.bytes:
            return known
        out, rejects = io.BytesIO(), io.BytesIO()
        tally = write_rows([steps], self._context, self._form, out, rejects)
        part = OutputPart(name, tally.rows_out, out.tell(), tally.rejects.total(), rejects.tell(), tally.as_dict())
        if self._sizes.get(name) != part.bytes:
            check_still_held(self._context)
            self._files.success.remove()
            if part.rejects:
                self._files.rejects(name).write(rejects.getvalue())
            self._files.rows(name).write(out.getvalue())
            self._sizes[name] = part.bytes
        self._known[name] = part
        return part

    def finish(self, shards: Sequence[ShardSteps], audit: Row | None = None) -> Summary:
        """Write index, summary and `_SUCCESS`, and remove parts that are no longer part of the output. If the run is
        incomplete, the parts stay without `_SUCCESS`. `audit`: the record of the run's audit, if it made one."""
        files = self._files
        parts = [self.add(steps) for steps in shards]
        tally = Tally()
        for part in parts:
            tally.add(Tally.of(part.tally))
        tally.check(sum(steps[-1].rows for steps in shards))
        if (before := already_written(shards, self._context)) is not None:
            return before
        problem, figures = incomplete_reason_of_run(shards, self._context, audit)
        check_still_held(self._context)
        unused, unused_file = list_unused(shards, self._context, files.unused_edits)
        summary = summary_of(
            tally, self._context, problem=problem, audit=figures, output=files.output.url,
            rejects_file=f"{files.inside.url}/rejects/", write_key=write_key(shards, self._context, self._form),
            output_bytes=sum(part.bytes for part in parts), rejects_bytes=sum(part.rejects_bytes for part in parts),
            unused=unused, unused_edits_file=unused_file,
        )  # fmt: skip
        files.success.remove()
        if audit is not None:
            write_audit(files, audit)
        if summary.complete:
            files.write_index(parts)
            for name in files.names() - {part.name for part in parts}:
                files.rows(name).remove()
                files.rejects(name).remove()
        summary = with_bill(summary, self._context)
        files.summary.write(summary.model_dump_json(indent=1).encode() + b"\n")
        if summary.complete:
            files.success.write(b"")
        return summary


def write_finished_parts(steps: ShardSteps, writer: PartWriter) -> None:
    """Write a part as its shard is done. A damaged step file is left to the end, where its shard begins again."""
    with contextlib.suppress(StepDamaged):
        writer.add(steps)
