"""All of a run's steps in this process, as plain functions: no Prefect, no shard tasks."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

from regioncap.output.join import ShardSteps, Tally, row_format, write_rows
from regioncap.preflight.box_format import check_box_format
from regioncap.preflight.first_rows import FirstRows
from regioncap.preflight.key_hints import key_hints
from regioncap.preflight.named_keys import check_named_keys
from regioncap.preflight.plan import Plan, count
from regioncap.records import Shard
from regioncap.run.context import RunContext
from regioncap.tasks.shard import STEPS, keep_input


@dataclass(frozen=True)
class Made:
    """What the steps made of an input: its output's rows, its rejects, the counts, and what was planned before."""

    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    tally: Tally
    plan: Plan

    def codes(self) -> list[str]:
        return [reject["code"] for reject in self.rejects]


def make_all(context: RunContext) -> Made:
    """Everything that a run does to the rows of its input, the checks before it included."""
    first = FirstRows(context)
    check_named_keys(context.config, first)
    key_hints(context.config, first)
    check_box_format(context, first)
    plan = count(context, context.shards(), [])
    shards = [steps_of(shard, context) for shard in context.shards()]
    out, rejects = io.BytesIO(), io.BytesIO()
    tally = write_rows(shards, context, row_format(context), out, rejects)
    return Made(_rows(out), _rows(rejects), tally, plan)


def steps_of(shard: Shard, context: RunContext) -> ShardSteps:
    """The input of a shard and what the steps make of it."""
    steps = [keep_input(shard, context)]
    for spec in STEPS:
        rows = spec.body(context, steps[-1])
        manifest = context.storage.at(spec.index).write(spec.parts(context, steps[-1]), rows, 0.0)
        steps.append(manifest.reference(shard.index))
    return tuple(steps)


def _rows(lines: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().split(b"\n") if line]
