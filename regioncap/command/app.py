"""The `regioncap` command: run the flow, look at its steps, explain what a run would do again.

The config's flags are made in `regioncap/command/options.py`; commands that serve are in `regioncap/command/servers.py`.

Prefect is imported only by `run`, when it runs: the looking commands need no server and answer at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import regioncap
from regioncap.captioners.base import CaptionerOptions
from regioncap.command import terminal
from regioncap.command.options import GroupedCommand, config_flags, config_from, storage_flags
from regioncap.command.outputs import export_, report, sheet
from regioncap.command.servers import fake_vlm, serve, serve_model
from regioncap.config.files import make_config, read_config_file
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RegionCapError, UsageError
from regioncap.output.outputs import check_output, config_of_output
from regioncap.preflight.prompt_keys import check_prompt_keys
from regioncap.preflight.settings_diff import check_settings
from regioncap.registry import make_captioner
from regioncap.run.context import RunContext, completed
from regioncap.run.credentials import filesystems
from regioncap.run.runs import RUNS
from regioncap.storage.filesystem import Place

OK, STOPPED, WRONG_USAGE = 0, 1, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(regioncap.__version__, prog_name="regioncap")
def app() -> None:
    """Region captions for vision-language data sets: images in, one caption for every region out."""


@app.command(cls=GroupedCommand)
@click.argument("source", metavar="[INPUT]", required=False)
@config_flags
def run(source: str | None, config_file: str | None, **flags: Any) -> int:
    """Caption the regions of all images that INPUT lists.

    INPUT is JSON Lines, a JSON array, CSV or Parquet, or a folder or glob of these or of images; a path or URL.
    Running the same command again does only what is not done yet.
    """
    config = _config(source, config_file, flags)
    with RUNS.enter():
        try:
            _check(RUNS.context(config))
            check_prefect_home()
            with terminal.watching(config):
                # Imported here: it takes seconds, and reads the environment that was just prepared.
                from regioncap.flows.region_caption import region_caption

                start_prefect_apart()
                summary = region_caption(config)
        finally:
            RUNS.close(config)
    terminal.show(summary)
    return OK if summary.ok else STOPPED


@app.command(cls=GroupedCommand)
@click.argument("run_name", metavar="RUN")
@click.argument("number", metavar="K", type=click.IntRange(0, 6))
@config_flags
def steps(run_name: str, number: int, config_file: str | None, **flags: Any) -> int:
    """Print the rows of step K (0 to 6) of RUN, a JSON object a line.

    0 input, 1 load, 2 route, 3 extract, 4 normalize, 5 visualize, 6 caption. RUN is the output of a run, or the
    input with the options that the run had.
    """
    from regioncap.command.explain import rows_of_step

    missing = 0
    for shard, lines in rows_of_step(_run_config(run_name, config_file, flags), number):
        if lines is None:
            missing += 1
            click.echo(f"shard {shard:05d}: step {number} is not done yet", err=True)
        else:
            sys.stdout.buffer.write(lines)
    return STOPPED if missing else OK


@app.command(cls=GroupedCommand)
@click.argument("run_name", metavar="RUN")
@click.option("--verify", is_flag=True, help="Read every step file and check its sha256, instead of its size.")
@config_flags
def explain(run_name: str, verify: bool, config_file: str | None, **flags: Any) -> int:
    """Say for each step and shard of RUN: reused, or why it would run again.

    RUN is the output of a run, or its input with options; options given here win over those that the run had.
    """
    from regioncap.command.explain import explain_run

    for line in explain_run(_run_config(run_name, config_file, flags), verify=verify):
        click.echo(line)
    return OK


@app.command("try", cls=GroupedCommand)
@click.argument("source", metavar="[INPUT]", required=False)
@click.option("--row", "line", type=click.IntRange(1), default=1, show_default=True, help="Line of the input, from 1.")
@config_flags
def try_(source: str | None, line: int, config_file: str | None, **flags: Any) -> int:
    """Caption one row of INPUT and show everything: marked picture, request, raw answer, captions.

    For finding a prompt or a model. The model is asked each time; no output is written.
    """
    from regioncap.command.try_row import try_row

    return OK if try_row(_config(source, config_file, flags), line, click.echo) else STOPPED


@app.command(cls=GroupedCommand)
@click.argument("source", metavar="[INPUT]", required=False)
@config_flags
def plan(source: str | None, config_file: str | None, **flags: Any) -> int:
    """Say what a run on INPUT would ask for, and what that costs with --usd-per-m-in and --usd-per-m-out.

    Reads the rows, and the size of a sample of the images; runs nothing, asks nobody.
    """
    from regioncap.preflight.plan import plan as plan_run

    config = _config(source, config_file, flags)
    for text in terminal.plan_lines(plan_run(config), config):
        click.echo(text)
    return OK


@app.command(cls=GroupedCommand)
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--marks", is_flag=True, help="Also marked pictures that no run of this cache drew.")
@click.option(
    "--answers", is_flag=True, help="Also answers that no run of this cache would look up. They were paid for."
)
@click.option("--forget", "forgotten", metavar="OUTPUT", multiple=True, help="Runs for this output need nothing.")
@click.option("--min-age", default=24.0, show_default=True, help="Hours; younger files stay: a run may need them.")
@click.option("--yes", is_flag=True, help="Do not ask before answers are removed.")
@storage_flags
def prune(
    dry_run: bool, marks: bool, answers: bool, forgotten: tuple[str, ...], min_age: float, yes: bool, **flags: Any
) -> int:
    """Remove step files from a cache that no run needs any more.

    Needed is what the last complete run for each output used. Step files of stopped runs are made again when they are
    run again, without asking the model.
    """
    from regioncap.command.prune import Cache, older_than, unneeded_answers, unneeded_marks, unneeded_steps

    prefix = flags["file_name_prefix"] or RegionCapConfig.model_fields["file_name_prefix"].default
    place = _place(flags["cache_path"] or RegionCapConfig.model_fields["cache_path"].default, flags)
    cache = Cache.at(place.address, place.files, forgotten)
    for run in cache.runs.get(prefix, []):
        click.echo(f"needed for {run.output}")
    before = older_than(min_age)
    found = [unneeded_steps(cache, prefix, before)]
    found += [unneeded_marks(cache, before)] if marks else []
    found += [unneeded_answers(cache, before)] if answers else []
    for kind in found:
        click.echo(f"{kind.kind:<16} {len(kind.places):>9,} of {kind.seen:,} unneeded, {kind.bytes / 1e6:,.1f} MB")
    if dry_run:
        return OK
    if answers and found[-1].places and not yes:
        click.confirm(f"Remove {len(found[-1].places):,} answers that were paid for?", abort=True)
    for kind in found:
        kind.remove()
    cache.forget(forgotten, prefix)
    click.echo("removed")
    return OK


def _check(context: RunContext) -> None:
    """What is wrong is said at once, not after Prefect has started. Raises UsageError."""
    from regioncap.preflight.box_format import check_box_form  # imports Prefect, which no other command should wait for

    check_prompt_keys(context.config, context.shards())
    check_output(context.output)
    check_settings(context.config, context.files)
    check_box_form(context)
    make_captioner(CaptionerOptions(context.config)).check()


def _config(source: str | None, config_file: str | None, flags: dict[str, Any]) -> RegionCapConfig:
    """The config that an input and flags make, with what the input's form adds to it."""
    config = config_from(source, config_file, flags)
    prepare_prefect()
    return completed(config)


def _run_config(run_name: str, config_file: str | None, flags: dict[str, Any]) -> RegionCapConfig:
    """The config that RUN means: an output's own, or RUN as an input; flags win."""
    place = _place(run_name, flags)
    before = config_of_output(place)
    if before is None:
        if not place.find():
            raise UsageError(f"{run_name}: expected the output of a run, or its input and options; there is neither")
        return _config(run_name, config_file, flags)
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    return completed(make_config(**{**before, **(read_config_file(config_file) if config_file else {}), **given}))


def _place(address: str, flags: dict[str, Any]) -> Place:
    """A place that is looked at before there is a config."""
    prepare_prefect()
    return filesystems(flags["s3_endpoint_url"], flags["s3_region"], flags["storage_block"]).place(address)


for command in (report, export_, sheet, fake_vlm, serve, serve_model):
    app.add_command(command)


# --- the way in


def prepare_prefect() -> None:
    """Settings for a Prefect that the user need not know of; what the environment says already is left as it is.

    Without a `PREFECT_API_URL` a server of its own is started for the run: on a fresh machine that takes longer than
    Prefect's own limit of 20 s. Prefect's log is for those who run Prefect: here errors come as messages.
    """
    for name, value in PREFECT_SETTINGS.items():
        os.environ.setdefault(name, value)


def check_prefect_home() -> None:
    """Prefect waits for minutes for a server of its own that has nowhere to put its database, and does not say why.

    Raises UsageError.
    """
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    if os.environ.get("PREFECT_API_URL") or (home / "profiles.toml").is_file():
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(home, os.W_OK) else "Permission denied"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise UsageError(
            f"PREFECT_HOME: Prefect cannot write to {home} ({problem}); set PREFECT_HOME to a folder of yours, or "
            "PREFECT_API_URL to the server that is to be used"
        )


def start_prefect_apart() -> None:
    """Start Prefect's own server for the run, where there is no other, so that a Ctrl-C does not reach it.

    A terminal sends it to all processes of its group: without its server the run could not end, and Prefect would wait
    for it for minutes. A process begins with the signals blocked that are blocked where it is started.

    Raises UsageError when there is no server, neither one that is named nor its own.
    """
    from prefect.client.orchestration import get_client

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch()  # a server that was started stays until this process ends
    except RuntimeError as error:
        raise UsageError(
            f"Prefect: {error}. Where PREFECT_API_URL or a Prefect profile names a server, start that (`prefect server "
            "start`) or correct the address; where none is named, a run starts a server for itself."
        ) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


PREFECT_SETTINGS = {
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""Set before Prefect is imported, which is when it reads them."""


def main(args: Sequence[str] | None = None) -> None:
    """The command's entry: every end has its exit code, and no user's mistake a traceback."""
    sys.exit(_exit_code(args))


def _exit_code(args: Sequence[str] | None) -> int:
    try:
        return int(app.main(args, prog_name="regioncap", standalone_mode=False) or OK)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return WRONG_USAGE
    except click.ClickException as error:
        error.show()
        return WRONG_USAGE
    except UsageError as error:
        click.echo(f"regioncap: {error}", err=True)
        return WRONG_USAGE
    except RegionCapError as error:
        click.echo(f"regioncap: {error}", err=True)
        return STOPPED
    except (KeyboardInterrupt, click.Abort):
        click.echo("regioncap: stopped", err=True)
        return STOPPED
    except BrokenPipeError:
        # `regioncap steps … | head`: whoever read has seen enough. Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
