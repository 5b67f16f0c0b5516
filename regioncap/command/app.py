"""The `regioncap` command: its subcommands, and how each end becomes an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from collections import UserDict
from collections.abc import Sequence
from typing import Any

import click

import regioncap
from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED, WAITING, WRONG_USAGE
from regioncap.command.prefect_env import prepare_prefect
from regioncap.command.stopping_signals import in_a_word, stopping_signals
from regioncap.command.uncollected import uncollected
from regioncap.errors import PrefectLost, RegionCapError, UsageError, Waiting
from regioncap.plugin_loading import import_from
from regioncap.printable import printable
from regioncap.row_work import plugins_at_work

PLUGIN_SECONDS = 3.0
"""For plugins to return after a stop."""


SERVE = "serve"

COMMANDS = {
    "run": "run:run",
    "try": "preview:try_",
    "plan": "preview:plan",
    "compare": "compare:compare",
    "audit": "audit:audit",
    "batches": "batches:batches",
    "report": "outputs:report",
    "sheet": "outputs:sheet",
    "export": "outputs:export_",
    "steps": "cache:steps",
    "explain": "cache:explain",
    "reread": "cache:reread",
    "cache": "clean:cache",
    "prune": "clean:prune",
    SERVE: "servers:serve",
    "serve-model": "servers:serve_model",
    "fake-vlm": "fake_vlm:fake_vlm",
}
"""Where each command is: its module in this package, and its name there. In the order of the help."""

SERVERS = (SERVE, "serve-model", "fake-vlm")
"""Those that run until a signal ends them, each in its own way."""


class _Imported(UserDict[str, Any]):
    """What `COMMANDS` names, imported when it is first looked at: a command does without what others need."""

    def __getitem__(self, name: str) -> click.Command:
        module, _, function = self.data[name].partition(":")
        with uncollected():
            command: click.Command = getattr(importlib.import_module(f"regioncap.command.{module}"), function)
        return command


class _Ordered(click.Group):
    """A group whose help lists commands in the order of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begin with; it is imported, which takes its time."""
        if args[0] not in SERVERS:
            ctx.with_resource(stopping_signals())
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. `regioncap steps … | head`: the reader has seen enough, which is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # here, since click makes exit code 1 of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python must not complain at exit
            return OK


@click.group(
    cls=_Ordered,
    commands=_Imported(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(regioncap.__version__, prog_name="regioncap")
@click.pass_context
def app(context: click.Context) -> None:
    """Region captions for vision-language data sets: images in, one caption for every region out."""
    prepare_prefect(quiet=context.invoked_subcommand != SERVE)
    with contextlib.suppress(FileNotFoundError):  # the folder was removed
        import_from(os.getcwd())  # noqa: PTH109 - as it stands in sys.path


def main(args: Sequence[str] | None = None) -> None:
    """The command's entry: every end has its exit code, and no user's mistake a traceback."""
    code = _exit_code(sys.argv[1:] if args is None else args)
    _leave_plugins(code)
    sys.exit(code)


def _leave_plugins(code: int) -> None:
    """End the process if a plugin is still at work after a stop: Python would wait for its thread, however long."""
    begun = time.monotonic()
    while plugins_at_work() and time.monotonic() - begun < PLUGIN_SECONDS:
        time.sleep(0.1)
    if at_work := plugins_at_work():
        say(f"regioncap: {at_work[0]} is still at work and is not waited for", err=True)
        sys.stdout.flush()
        os._exit(code)


def _exit_code(args: Sequence[str]) -> int:
    try:
        return int(app.main(args, prog_name="regioncap", standalone_mode=False, obj=args) or OK)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return WRONG_USAGE
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]  # only its text changes
        error.show()
        return WRONG_USAGE
    except UsageError as error:
        _say_error(error, str(error))
        return WRONG_USAGE
    except Waiting as error:
        _say_error(error, str(error))
        return WAITING
    except RegionCapError as error:
        _say_error(error, str(error))
        if isinstance(error, PrefectLost):
            os._exit(STOPPED)  # else Prefect, at exit, tries for many minutes to hand its server what it has for it
        return STOPPED
    except (KeyboardInterrupt, click.Abort) as error:
        cause = error.__cause__ or error  # click makes an Abort of Ctrl-C
        _say_error(cause, in_a_word(cause))
        return STOPPED


def _say_error(error: BaseException, text: str) -> None:
    for line in (f"regioncap: {text}", *getattr(error, "__notes__", ())):
        say(line, err=True)
