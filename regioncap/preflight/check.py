"""Whether a run can be right, found out before anything is asked for: once a run, whoever asks first.

The command checks before it starts Prefect, so that a mistake is reported at once; the flow checks every run, and finds
it done where the command was first.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from regioncap.output.outputs import check_output
from regioncap.preflight.box_format import check_box_format
from regioncap.preflight.first_rows import FirstRows
from regioncap.preflight.prompt_keys import check_prompt_keys
from regioncap.preflight.settings_diff import check_settings
from regioncap.records import Shard
from regioncap.run.context import RunContext


@dataclass(frozen=True)
class Checked:
    """A run that passed all checks.

    `differences`: in words, settings that are not those of the output's last run. `input`: all of its shards, where the
    checks have read them; None for an input that is too long to be held.
    """

    differences: list[str]
    input: list[Shard] | None


def check(context: RunContext, *, deployed: bool = False) -> Checked:
    """Check output, captioner, settings, prompts and boxes, in this order: what costs least is first.

    `deployed`: nobody watches the run, so changed settings are refused unless they are allowed. Raises UsageError.
    """
    if context not in _checked:
        _checked[context] = _check(context, deployed)
    return _checked[context]


_checked: WeakKeyDictionary[RunContext, Checked] = WeakKeyDictionary()


def _check(context: RunContext, deployed: bool) -> Checked:
    rows = FirstRows(context)
    check_output(context.output)
    context.captioner.check()
    differences = check_settings(context.config, context.files, deployed=deployed)
    check_prompt_keys(context.config, rows)
    check_box_format(context, rows)
    return Checked(differences, rows.whole_input())
