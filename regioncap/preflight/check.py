"""Whether a run can be right, found out before anything is asked for: once a run, whoever asks first.

The command checks before it starts Prefect, so that a mistake is reported at once; the flow checks every run, and finds
it done where the command was first.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from regioncap.config.model import RegionCapConfig
from regioncap.output.outputs import check_output
from regioncap.preflight.allowed_images import check_allowed_images
from regioncap.preflight.box_format import check_box_format
from regioncap.preflight.first_rows import FirstRows
from regioncap.preflight.key_hints import key_hints
from regioncap.preflight.named_keys import check_named_keys
from regioncap.preflight.plan import Plan, count
from regioncap.preflight.rules_diff import check_rules
from regioncap.preflight.settings_diff import check_settings
from regioncap.registry import plugin_parts
from regioncap.run.context import RunContext
from regioncap.run.credentials import check_environment
from regioncap.storage.runs import entry_place, registered
from regioncap.tasks.recovery import recover


@dataclass(frozen=True)
class Checked:
    """A run that passed all checks; in words: `differences`, settings that are not those of the output's last run;
    `outdated`, which captions today's rules no longer accept; `hints`, keys of the rows that are probably meant, and
    what is doubtful about their boxes.

    `left`: what the run will ask for; None where nothing was ever asked for.
    """

    differences: list[str]
    outdated: str
    hints: list[str]
    left: Plan | None


def check(context: RunContext, *, deployed: bool = False) -> Checked:
    """Check output, keys, captioner, settings, prompts, boxes and stored answers, what costs least first.

    `deployed`: nobody watches the run, so changed settings are refused unless they are allowed. Raises UsageError.
    """
    if context not in _checked:
        _checked[context] = _check(context, deployed)
    return _checked[context]


_checked: WeakKeyDictionary[RunContext, Checked] = WeakKeyDictionary()


def _check(context: RunContext, deployed: bool) -> Checked:
    rows = FirstRows(context)
    check_output(context.output)
    _ = context.edits  # wrong ones are refused before anything else is read
    check_environment(context.config)
    context.captioner.check()
    check_finder(context)
    differences = check_settings(context.config, context.files, deployed=deployed)
    check_named_keys(context.config, rows)
    check_allowed_images(context, rows)
    hints = [*plugin_hints(context.config), *key_hints(context.config, rows), *check_box_format(context, rows)]
    recover(context)
    left = count(context, rows.whole_input() or context.shards()) if may_have_answers(context) else None
    outdated = check_rules(left, context.config, deployed=deployed) if left is not None else ""
    return Checked(differences, outdated, hints, left)


def check_finder(context: RunContext) -> None:
    """Make the region finder, if it is the user's own and this process uses it. Raises UsageError if that fails."""
    if context.finder is not None and context.config.runner == "threads":
        context.finder.prepare()


def plugin_hints(config: RegionCapConfig) -> list[str]:
    """What is missing of plugins whose changes nobody would notice, in words."""
    return [
        f"{kind}: {parts['name']} has no attribute `version`; raise one whenever its results change, since what is "
        "cached of it is used until then"
        for kind, parts in plugin_parts(config).items()
        if not (parts["version"] or parts["package_version"])
    ]


def may_have_answers(context: RunContext) -> bool:
    """Whether some captions may be there already: answers in the cache, or an earlier run for this output."""
    if not context.captioner.paid:
        return False
    entry = entry_place(context.cache, context.config.file_name_prefix, context.config.output)
    return context.answers.any() or bool(registered(entry).shards)
