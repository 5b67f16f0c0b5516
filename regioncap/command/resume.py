"""The end of a run that was stopped: how many captions are kept, and the one command that goes on."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence

from regioncap.command.stopping_signals import stopping_signals
from regioncap.config.model import RegionCapConfig
from regioncap.errors import OutputInUse, SettingsChanged, UsageError, Waiting
from regioncap.masking import mask
from regioncap.run.context import RunContext
from regioncap.run.kept import KeptCaptions
from regioncap.run.runs import RUNS

SECRETS_IN = ("--request-headers", "--request-query", "--request-body", "--api-keys")
"""Flags whose values may be secrets, by mistake or not; and so may parts of any URL."""


ON_CHANGE = "--on-config-change"
QUICK_SECONDS = 2.0


@contextlib.contextmanager
def saying_how_to_resume(config: RegionCapConfig, args: Sequence[str]) -> Iterator[None]:
    """Add to an error that stops this process's run of `config` what is kept and which command line resumes it.

    `args`: those of the command. Ctrl-C and SIGTERM stop the run.
    """
    context, command = RUNS.context(config), command_line(args)
    context.how_to_resume = command
    try:
        with stopping_signals() as context.interrupts:
            yield
    except SettingsChanged as error:
        more = command_line([*_without(ON_CHANGE, args), ON_CHANGE, "recaption"])
        error.add_note(f"{_kept_before(error, context)} To request new ones:\n  {more}")
        raise
    except UsageError as error:
        if context.kept is not None:  # Prefect cannot be used, which shows only after the first requests
            error.add_note(f"{context.kept} Resume with:\n  {command}")
        raise
    except Waiting as error:
        kept = _kept(context)
        look = command_line(["batches", config.output, *_storage_flags(config)])
        error.add_note(
            f"{f'{kept} ' if kept.count else ''}Go on with:\n  {command}\nSee how far they are with:\n  {look}"
        )
        raise
    except BaseException as error:
        if isinstance(error, OutputInUse) and not error.lost:
            raise  # another run goes on with it
        error.add_note(f"{_kept(context)} Resume with:\n  {command}")
        raise


def _storage_flags(config: RegionCapConfig) -> Iterator[str]:
    """The flags that say where the cache of a run is."""
    for name in RegionCapConfig.fields_read_by("storage"):
        value = getattr(config, name)
        if value != RegionCapConfig.model_fields[name].default:
            yield from (f"--{name.replace('_', '-')}", str(value))


def _kept(context: RunContext) -> KeptCaptions:
    # Without a count the run stopped before its flow began, or who waits has pressed Ctrl-C twice.
    return context.kept or _count(context)


def _kept_before(error: SettingsChanged, context: RunContext) -> str:
    if error.earlier is None:
        return str(_count(context))
    with contextlib.closing(RunContext(error.earlier)) as earlier:
        return f"{_count(earlier).number} kept for the earlier settings."


def _count(context: RunContext) -> KeptCaptions:
    from regioncap.tasks.so_far import count_kept  # the steps, which a run imports later

    return count_kept(context, QUICK_SECONDS)


def _without(flag: str, args: Sequence[str]) -> Iterator[str]:
    """The arguments without a flag and its value."""
    before = ""
    for arg in args:
        if arg != flag and before != flag and not arg.startswith(f"{flag}="):
            yield arg
        before = arg


def command_line(args: Sequence[str]) -> str:
    """The command line that was typed, for the shell; what looks like a secret in it is masked.

    >>> command_line(["run", "my photos.jsonl", "--endpoint", "https://me:pass-word@host/v1"])
    "regioncap run 'my photos.jsonl' --endpoint 'https://***@host/v1'"
    """
    shown, flag = ["regioncap"], ""
    for arg in args:
        name, _, value = arg.partition("=")
        may_be_secret = "://" in arg or flag in SECRETS_IN or (name in SECRETS_IN and value)
        shown.append(mask(arg) if may_be_secret else arg)
        flag = arg
    return shlex.join(shown)
