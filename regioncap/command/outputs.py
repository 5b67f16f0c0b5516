"""Commands that look at an output, or hand it on: report, export, sheet; an output that is there needs no Prefect."""

from __future__ import annotations

import time
from typing import Any, get_args

import click

from regioncap.command.options import storage_flags
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.exports.base import Coords, Direction
from regioncap.exports.export import ExportOrder, export
from regioncap.output.reading import Written, open_output
from regioncap.output.where import EXPLAINED
from regioncap.registry import EXPORTS
from regioncap.report.contact_sheet import sheet_of
from regioncap.report.report import Reported, report_of
from regioncap.run.credentials import filesystems
from regioncap.storage.filesystem import Filesystems

OK, STOPPED = 0, 1

ROOT_HELP = "Where relative image paths start, if not where the run found them."


def _files(flags: dict[str, Any]) -> Filesystems:
    from regioncap.command.app import (
        prepare_prefect,  # a storage block is Prefect's; the commands of that module hold these
    )

    prepare_prefect()
    return filesystems(flags["s3_endpoint_url"], flags["s3_region"], flags["storage_block"])


def _names(flags: dict[str, Any]) -> dict[str, str | None]:
    return {name: flags[name] for name in ("image_root", "image_key", "output_key")}


def name_flags(command: Any) -> Any:
    """Flags that tell an output's names, where its summary is lost or they are others now."""
    for name, text in (
        ("output_key", "The rows' key for captions, if the output's summary is lost."),
        ("image_key", "The rows' key for the image, if the output's summary is lost."),
        ("image_root", ROOT_HELP),
    ):
        command = click.option("--" + name.replace("_", "-"), name, help=text)(command)
    return command


@click.command()
@click.argument("output_name", metavar="OUTPUT")
@click.option("--against", metavar="B", help="Another run's output: both side by side, with what changed.")
@click.option("--output", "out", help="The page. Default: ….report.html beside OUTPUT.")
@click.option("--rows", type=click.IntRange(1, 20_000), help="Pictures in the page, at most. Default: the run's, 2000.")
@click.option("--live", is_flag=True, help="What the run has done up to now, though an earlier output is there.")
@name_flags
@storage_flags
def report(output_name: str, against: str | None, out: str | None, rows: int | None, live: bool, **flags: Any) -> int:
    """Write a page to look at: pictures, boxes and captions of OUTPUT, in one file that opens in a browser.

    Works while a run goes on: then it shows the rows that are done.
    """
    begun = time.perf_counter()
    files = _files(flags)
    other = open_output(against, files, **_names(flags)) if against else None
    place = files.place(out) if out else None
    written = None if live else _written(output_name, files, flags)
    if written is not None:
        done = report_of(written, files, out=place, against=other, most=rows)
    else:
        from regioncap.command.partial_report import config_of_run, report_live  # imports Prefect

        cache = flags["cache_path"] or RegionCapConfig.model_fields["cache_path"].default
        prefix = flags["file_name_prefix"] or RegionCapConfig.model_fields["file_name_prefix"].default
        config = config_of_run(output_name, files, cache, prefix)
        if config is None:
            raise UsageError(
                f"{output_name}: there is no output of a run, and the cache {cache} knows of none that goes on; "
                "expected what --output named, and --cache-path where the run has it"
            )
        done = report_live(config, place, other, rows)
    _say(done, begun)
    return OK


def _written(output_name: str, files: Filesystems, flags: dict[str, Any]) -> Written | None:
    try:
        return open_output(output_name, files, **_names(flags))
    except UsageError:
        return None


def _say(done: Reported, begun: float) -> None:
    click.echo(
        f"{done.place.url}: {done.shown:,} of {done.rows:,} rows, {done.bytes / 1e6:,.1f} MB, "
        f"{time.perf_counter() - begun:,.1f} s"
    )


@click.command("export")
@click.argument("output_name", metavar="OUTPUT")
@click.option("--to", type=click.Choice(list(EXPORTS)), required=True, help="The form.")
@click.option("--output", "out", default="", help="File (wds: folder); a path or URL. Default: beside OUTPUT.")
@click.option("--where", multiple=True, metavar="CONDITION", help=f"Only what meets this: {EXPLAINED}. Several: all.")
@click.option(
    "--direction", type=click.Choice(get_args(Direction)), default="box2text", show_default=True,
    help="llava: what is asked with, and what is answered.",
)  # fmt: skip
@click.option(
    "--coords", type=click.Choice(get_args(Coords)), default="0-1", show_default=True, help="llava: how boxes are told."
)
@name_flags
@storage_flags
def export_(
    output_name: str, to: str, out: str, where: tuple[str, ...], direction: Direction, coords: Coords, **flags: Any
) -> int:
    """Write OUTPUT in another form: COCO, Parquet, LLaVA conversations, CSV, WebDataset.

    Boxes are those of the output's `bbox`, in pixels. Exit code 1: rows were left out, since their images cannot be
    read (wds).
    """
    files = _files(flags)
    written = open_output(output_name, files, **_names(flags))
    done = export(written, ExportOrder(to, out, where, direction, coords), files)
    for url in done.files[:3]:
        click.echo(url)
    if len(done.files) > 3:
        click.echo(f"… {len(done.files):,} files in all")
    click.echo(f"{done.rows:,} rows, {done.regions:,} regions")
    for reason, count in done.left_out.items():
        click.echo(f"regioncap: {count:,} rows left out: {reason}; see --image-root", err=True)
    return STOPPED if done.left_out else OK


@click.command()
@click.argument("output_name", metavar="OUTPUT")
@click.argument("picture", metavar="PICTURE.jpg")
@click.option("--rows", type=click.IntRange(1, 400), default=12, show_default=True, help="Pictures, at most.")
@click.option("--columns", type=click.IntRange(1, 20), help="Pictures side by side. Default: by their number.")
@click.option("--width", type=click.IntRange(200, 8000), default=1600, show_default=True, help="Pixels of the sheet.")
@click.option("--where", multiple=True, metavar="CONDITION", help="As for export.")
@click.option("--font", help="A font file (.ttf, .otf), for scripts that no font of this machine has.")
@name_flags
@storage_flags
def sheet(
    output_name: str, picture: str, rows: int, columns: int | None, width: int, where: tuple[str, ...],
    font: str | None, **flags: Any,
) -> int:  # fmt: skip
    """Write a contact sheet: a grid of marked pictures of OUTPUT with their captions under them (.jpg, .png, .webp)."""
    files = _files(flags)
    written = open_output(output_name, files, **_names(flags))
    place = files.place(picture)
    count = sheet_of(written, files, place, rows=rows, columns=columns, width=width, where=where, font=font)
    click.echo(f"{place.url}: {count} pictures")
    return OK
