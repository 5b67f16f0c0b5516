"""What the page of a run in Prefect's UI says when the run did not reach its end: why it stopped or what it waits for,
what to do, and what is kept."""

from __future__ import annotations

from regioncap.config.setting_names import by_setting_names
from regioncap.errors import OutputInUse, RegionCapError, RunStopped, UsageError, Waiting
from regioncap.records import cut_text
from regioncap.report.markdown import address, escape_markdown
from regioncap.report.run_summary import cost_of
from regioncap.run.context import RunContext
from regioncap.run.kept import KeptCaptions

MAX_ERROR_CHARS = 2000

INTERRUPTED = "It was cancelled or interrupted, or its worker was terminated."


def wrong_settings_page(error: UsageError, how_to_rerun: str) -> str:
    """Markdown for a run that was not begun. `how_to_rerun`: in Markdown too."""
    return (
        f"## Nothing was run: the settings are wrong\n\n{_quoted(_words(error))}\n\n"
        f"**What to do:** correct this setting, then {how_to_rerun}.\n"
    )


def stop_page(error: BaseException, context: RunContext, how_to_resume: str) -> str:
    """Markdown for a run that stopped. `how_to_resume`: how to rerun it, in Markdown."""
    if isinstance(error, OutputInUse) and not error.lost:
        return (
            f"## Another run is writing this output\n\n{_quoted(_words(error))}\n\n"
            f"**What to do:** when the other has ended, {how_to_resume}, or choose another output.\n"
        )
    if isinstance(error, Waiting):
        return _waiting_page(error, context, how_to_resume)
    heading, first = _heading_and_first_step(error)
    parts = [
        f"## {heading}",
        _quoted(_words(error) if isinstance(error, Exception) else INTERRUPTED),
        f"**What to do:** {first}{how_to_resume}: with the same settings it resumes where it stopped and requests "
        "nothing twice.",
        f"- **done**: {done_of(context)}. {_kept(context)}\n"
        f"- **cost**: {cost_of(context.progress.bill())}\n"
        f"- **output**: {address(context.output.url)}; an earlier output was left unchanged",
    ]
    return "\n\n".join(parts) + "\n"


def _waiting_page(waiting: Waiting, context: RunContext, how_to_resume: str) -> str:
    kept = _kept(context)
    return "\n\n".join([
        "## The run waits for its answers",
        f"**{escape_markdown(waiting.progress)}.** {escape_markdown(waiting.how)}",
        f"**What to do:** nothing more, where a later run is scheduled; else, later, {how_to_resume}. It collects what "
        "is done, requests nothing twice, and writes the output when all is there.",
        f"- **cost so far**: {cost_of(context.progress.bill())}; answers are counted when they are collected\n"
        f"- **output**: {address(context.output.url)}; an earlier output was left unchanged"
        + (f"\n- **cache**: {kept}" if kept.count else ""),
    ]) + "\n"  # fmt: skip


def _heading_and_first_step(error: BaseException) -> tuple[str, str]:
    if not isinstance(error, Exception):
        return "The run was cancelled", ""
    if isinstance(error, OutputInUse):
        return "Another run has taken over this output", "when the other has ended, "
    first = "fix this, then " if isinstance(error, RunStopped) else "report this bug (the log has its traceback), then "
    return "The run stopped before its end", first


def wrong_settings_line(error: UsageError) -> str:
    """The same in one line."""
    return cut_text(_words(error).splitlines()[0])


def stop_line(error: BaseException, context: RunContext) -> str:
    """`stop_page` in one line."""
    if isinstance(error, Exception):
        return cut_text(_words(error).splitlines()[0])
    return f"cancelled after {done_of(context)}. {_kept(context)}"


def done_of(context: RunContext) -> str:
    """What a stopped run has done."""
    rows, expected = context.progress.counts.rows, context.progress.rows_expected()
    captions = f"{context.progress.bill().captions_new:,} new captions"
    return f"{rows:,} of about {max(rows, expected):,} rows, {captions}" if expected else captions


def _kept(context: RunContext) -> KeptCaptions:
    return context.kept or KeptCaptions(0, exact=False)


def _words(error: BaseException) -> str:
    text = by_setting_names(str(error)) or type(error).__name__
    return text if isinstance(error, RegionCapError) else f"{type(error).__name__}: {text}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {escape_markdown(line, most=MAX_ERROR_CHARS)}" for line in text.splitlines())
