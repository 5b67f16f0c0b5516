"""A sample of an input under several settings: each through the steps of a run, without Prefect and without an output.

Answers are looked up and kept as in any run, so what was asked for here is not paid for again: not by a comparison that
is repeated, nor by the run that follows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from regioncap.audit.asking import asked_again
from regioncap.audit.rows import AuditedRow
from regioncap.audit.sampling import is_auditable
from regioncap.command.compare_settings import Setting
from regioncap.errors import BudgetReached, CaptionerError, PluginError, RowReject, UsageError
from regioncap.output.join import ShardSteps, joined
from regioncap.output.reading import Captioned
from regioncap.output.unwritten import as_in_output
from regioncap.preflight.check import Checked, check
from regioncap.preflight.plan import Plan, plan_of
from regioncap.records import Row, Shard, rejected
from regioncap.run.context import RunContext
from regioncap.run.limits import left_of_limits
from regioncap.run.progress import Bill
from regioncap.run.runs import RUNS
from regioncap.run.threads import ContextThreads
from regioncap.tasks.scheduling import MIN_SHARDS_IN_FLIGHT
from regioncap.tasks.shard import keep_input, run_steps

Watch = Callable[[str, RunContext], AbstractContextManager[None]]
"""Shows how far the setting of this name is, during the block."""


@dataclass
class Outcome:
    """What came of one setting. `rows`, `rejects` (step, code, message, image): by their place in the sample, from 1.
    `audited`: the rows that were asked again. `seconds`: for the captions alone. `bill`: what it requested and used
    just now, the audit included. `stopped`: why it was not carried through; "" if it was."""

    setting: Setting
    rows: dict[int, Captioned] = field(default_factory=dict)
    rejects: dict[int, Row] = field(default_factory=dict)
    audited: list[AuditedRow] = field(default_factory=list)
    seconds: float = 0.0
    bill: Bill = field(default_factory=Bill)
    stopped: str = ""

    @property
    def regions(self) -> int:
        """How many captions there are."""
        return sum(len(row.captions) for row in self.rows.values())


def read_sample(setting: Setting) -> list[Shard]:
    """The rows that all settings are compared on. Raises UsageError and InputDamaged for the input, StorageError."""
    with contextlib.closing(RunContext(setting.config)) as context:
        return list(context.shards())


@contextlib.contextmanager
def opened(setting: Setting, sample: Sequence[Shard]) -> Iterator[RunContext]:
    """A run of the sample under this setting, stopped and closed however the block ends."""
    with RUNS.enter():
        context = RUNS.context(setting.config)
        context.sample = sample
        try:
            with contextlib.closing(context.answers):
                yield context
        except BaseException:
            context.stop_sending()
            context.close_captioner()  # what came is kept by then
            raise
        finally:
            RUNS.close(setting.config)


def checked(setting: Setting, sample: Sequence[Shard]) -> tuple[Checked, Plan]:
    """What a run checks before it asks for anything, and what it would ask for. Raises UsageError naming the option."""
    try:
        with opened(setting, sample) as context:
            return check(context), plan_of(context)
    except UsageError as error:
        raise UsageError(f"{setting.option}: {error}" if setting.option else str(error)) from None


class ComparedSettings:
    """The settings, one after the other: so their times can be compared, and what they may spend together is known."""

    def __init__(self, settings: Sequence[Setting], sample: Sequence[Shard], watch: Watch) -> None:
        self._settings = settings
        self._sample = sample
        self._watch = watch
        self.outcomes: list[Outcome] = []
        """Of the settings that were begun, in order."""
        self._spent = ""
        """The limit that is reached, in words."""

    def run(self) -> list[Outcome]:
        """The outcome of every setting. One that cannot be carried through says why, and the next goes on.

        Raises RunStopped where none could: Stopped, StorageError, InputDamaged.
        """
        for setting in self._settings:
            self.outcomes.append(Outcome(setting, stopped=self._spent))
            if not self._spent:
                self._run_one(self.outcomes[-1])
        return self.outcomes

    def _run_one(self, outcome: Outcome) -> None:
        setting = self._within_budget(outcome.setting)
        if setting is None:
            outcome.stopped = self._spent
            return
        try:
            with opened(setting, self._sample) as context:
                try:
                    with self._watch(setting.name, context):
                        _caption(context, outcome)
                        outcome.seconds = context.progress.bill().wall_seconds
                        outcome.audited = _audited(context, outcome)
                finally:
                    outcome.bill = context.progress.bill()
        except BudgetReached:
            outcome.stopped = self._spent = _spent(outcome.setting)
        except (CaptionerError, PluginError) as error:
            outcome.stopped = str(error)

    def _within_budget(self, setting: Setting) -> Setting | None:
        """The setting with what the others have left of the limits; None where that is nothing."""
        config = left_of_limits(setting.config, *(outcome.bill for outcome in self.outcomes))
        if any(limit is not None and limit <= 0 for limit in (config.max_requests, config.max_usd)):
            self._spent = _spent(setting)
            return None
        return replace(setting, config=config)


def _spent(setting: Setting) -> str:
    limits = setting.config.fields(("max_requests", "max_usd"))
    given = " or ".join(f"{name}={value:g}" for name, value in limits.items() if value is not None)
    return f"{given}, for all settings together, is reached. A rerun resumes, and may use as much again."


def _caption(context: RunContext, outcome: Outcome) -> None:
    """Take the sample through all steps. Raises what they raise."""
    for steps in _steps_of(context):
        for loaded, drawn, result in joined(context, steps):
            number = len(outcome.rows) + len(outcome.rejects) + 1
            try:
                if "reject" not in result:
                    outcome.rows[number] = as_in_output(loaded, drawn, result, number, context)
            except RowReject as reject:
                result = rejected("write", reject.code, reject.message)
            if "reject" in result:
                outcome.rejects[number] = {**result["reject"], "image": str(loaded.get("image", ""))}


def _audited(context: RunContext, outcome: Outcome) -> list[AuditedRow]:
    """Ask again about the rows that can be audited; about none where captions come from no model."""
    if not context.captioner.paid:
        return []
    return asked_again([row for row in outcome.rows.values() if is_auditable(row)], context).rows


def _steps_of(context: RunContext) -> list[ShardSteps]:
    with ContextThreads(MIN_SHARDS_IN_FLIGHT, thread_name_prefix="compare") as pool:
        try:
            return [*pool.map(lambda shard: _steps_of_shard(shard, context), context.shards())]
        except BaseException:
            context.stop_sending()  # else the other shards would be waited for
            raise


def _steps_of_shard(shard: Shard, context: RunContext) -> ShardSteps:
    context.progress.read(len(shard.lines), shard.share)
    return run_steps(keep_input(shard, context), context.config, as_task_runs=False)
