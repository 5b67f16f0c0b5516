"""Commands about an output: report, export, sheet."""

from __future__ import annotations

import contextlib
import time
from typing import Any, get_args

import click

from regioncap.command.echo import say
from regioncap.command.exit_codes import OK, STOPPED
from regioncap.command.options import cache_place, file_name_prefix, files_from, storage_flags
from regioncap.config.plugin_names import EXPORT, plugin_name
from regioncap.errors import ConfigError, StorageError, UsageError
from regioncap.exports.base import Coords, Direction
from regioncap.exports.export import ExportRequest, export
from regioncap.output.pictures import Pictures
from regioncap.output.reading import NAMES, Written, open_output
from regioncap.output.where import CONDITION_HELP
from regioncap.report.contact_sheet import sheet_of
from regioncap.report.report import ReportResult, report_of
from regioncap.storage.filesystem import Filesystems, Place

ROOT_HELP = "Folder that relative image paths start from, if it is not the run's."


def _names(flags: dict[str, Any]) -> dict[str, str | None]:
    return {name: flags[name] for name in NAMES}


def _name_flags(command: Any) -> Any:
    """Flags for an output's keys and image root, where its summary is lost or they have changed."""
    for name, text in (
        ("output_key", "Key of the captions, if the output's summary is lost."),
        ("image_key", "Key of the image, if the output's summary is lost."),
        ("image_root", ROOT_HELP),
    ):
        command = click.option("--" + name.replace("_", "-"), name, help=text)(command)
    return command


@click.command()
@click.argument("output_name", metavar="OUTPUT")
@click.option(
    "--against", metavar="B", help="Output of another run to compare with: shows what changed, and the flags of both."
)
@click.option(
    "--output", "out", metavar="FILE",
    help="File to write the page to. Default: OUTPUT's name with .report.html; of a comparison with B's name, too.",
)  # fmt: skip
@click.option(
    "--rows", type=click.IntRange(1, 20_000), help="Maximum number of pictures. Default: --report-rows of the run."
)
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="Only rows and regions for which this is true, as for `regioncap export`; rejected rows are left out. "
    "If repeated, all must be true.",
)
@click.option("--live", is_flag=True, help="Show the run that is in progress or was stopped, not its earlier output.")
@_name_flags
@storage_flags
def report(
    output_name: str, against: str | None, out: str | None, rows: int | None, where: tuple[str, ...], live: bool,
    **flags: Any,
) -> int:  # fmt: skip
    """Write an HTML page of OUTPUT's pictures, boxes and captions.

    The page is one file that opens in a browser, where captions can be approved, edited and rejected. Of a run that is
    in progress or was stopped it shows all rows that have their captions.
    """
    if against and where:
        raise UsageError("--where and --against: expected one of them; a comparison is of all rows")
    begun = time.perf_counter()
    files = files_from(flags)
    other = open_output(against, files, **_names(flags)) if against else None
    place = files.place(out) if out else None
    written = None if live else _written(output_name, files, flags)
    if written is not None:
        _say_missing_marks(written, files)
        done = report_of(written, files, out=place, against=other, where=where, most=rows)
    else:
        done = _report_so_far(output_name, place, other, rows, where, flags)
    say(
        f"{done.place.url}: {done.shown:,} of {done.rows:,} rows, {done.bytes / 1e6:,.1f} MB, "
        f"{time.perf_counter() - begun:,.1f} s"
    )
    return OK


def _say_missing_marks(written: Written, files: Filesystems) -> None:
    """It is for information: what cannot be looked up is met again by whoever needs it."""
    with contextlib.suppress(StorageError):
        missing, named = Pictures(written, files).missing_marks(written.rows())
        if missing:
            what = f"{missing:,} of the {named:,} marked pictures that the output names are gone"
            say(f"regioncap: {what}; rerun the same command to draw them again", err=True)


def _written(output_name: str, files: Filesystems, flags: dict[str, Any]) -> Written | None:
    try:
        return open_output(output_name, files, **_names(flags))
    except UsageError:
        return None


def _report_so_far(
    output_name: str, out: Place | None, against: Written | None, rows: int | None, where: tuple[str, ...],
    flags: dict[str, Any],
) -> ReportResult:  # fmt: skip
    from regioncap.command.partial_report import config_of_run, report_live  # the steps

    cache = cache_place(flags)
    config = config_of_run(output_name, cache, file_name_prefix(flags))
    if config is None:
        raise UsageError(
            f"{output_name}: there is no output of a run, and the cache {cache.url} knows of no unfinished run for it; "
            "expected the path that --output named, and --cache-path as in the run"
        )
    return report_live(config, out, against, rows, where)


def _export_name(value: str) -> str:
    """Checked before the output is opened."""
    try:
        return plugin_name(value, EXPORT)
    except ValueError as error:
        raise ConfigError("--to", str(error), value) from None


@click.command("export", short_help="Convert OUTPUT to COCO, Parquet, CSV and other formats.")
@click.argument("output_name", metavar="OUTPUT")
@click.option(
    "--to", required=True, metavar="FORMAT", callback=lambda context, option, value: _export_name(value),
    help=f"{', '.join(EXPORT.known)}, the name of an installed plugin, or the dotted path of your own "
    f"({EXPORT.example}).",
)  # fmt: skip
@click.option("--output", "out", default="", help="File (hf, wds: folder), a path or URL. Default: beside OUTPUT.")
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help=f"Only rows and regions for which this is true: {CONDITION_HELP}. If repeated, all must be true.",
)
@click.option(
    "--direction", type=click.Choice(get_args(Direction)), default="box2text", show_default=True,
    help="llava: whether the question gives the box and the answer the text, or the other way round.",
)  # fmt: skip
@click.option(
    "--coords", type=click.Choice(get_args(Coords)), default="0-1", show_default=True, help="llava: unit of the boxes."
)
@_name_flags
@storage_flags
def export_(
    output_name: str, to: str, out: str, where: tuple[str, ...], direction: Direction, coords: Coords, **flags: Any
) -> int:
    """Convert OUTPUT to COCO, Parquet, LLaVA, CSV, a Hugging Face data set or WebDataset.

    Boxes are those of the output's `bbox`, in pixels. Exit code 1: rows were left out because their images could not
    be read (hf, wds).
    """
    files = files_from(flags)
    written = open_output(output_name, files, **_names(flags))
    _say_missing_marks(written, files)
    done = export(written, ExportRequest(to, out, where, direction, coords), files)
    for url in done.files[:3]:
        say(url)
    if len(done.files) > 3:
        say(f"… {len(done.files):,} files in all")
    say(f"{done.rows:,} rows, {done.regions:,} regions")
    for reason, count in done.left_out.items():
        say(f"regioncap: {count:,} rows left out: {reason}; see --image-root and --cache-path", err=True)
    return STOPPED if done.left_out else OK


@click.command()
@click.argument("output_name", metavar="OUTPUT")
@click.argument("picture", metavar="PICTURE.jpg")
@click.option("--rows", type=click.IntRange(1, 400), default=12, show_default=True, help="Maximum number of pictures.")
@click.option(
    "--columns", type=click.IntRange(1, 20), help="Pictures side by side. Default: depends on how many there are."
)
@click.option(
    "--width", type=click.IntRange(200, 8000), default=1600, show_default=True, help="Width of the sheet in pixels."
)
@click.option("--where", multiple=True, metavar="CONDITION", help="As for `regioncap export`.")
@click.option("--font", help="Font file (.ttf, .otf), for scripts that no font of this machine covers.")
@_name_flags
@storage_flags
def sheet(
    output_name: str, picture: str, rows: int, columns: int | None, width: int, where: tuple[str, ...],
    font: str | None, **flags: Any,
) -> int:  # fmt: skip
    """Write a contact sheet of OUTPUT's marked pictures.

    It is an image (.jpg, .png, .webp) with a grid of pictures, each above its captions.
    """
    files = files_from(flags)
    written = open_output(output_name, files, **_names(flags))
    place = files.place(picture)
    count = sheet_of(written, files, place, rows=rows, columns=columns, width=width, where=where, font=font)
    say(f"{place.url}: {count} pictures")
    return OK
