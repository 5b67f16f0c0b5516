"""Exports an output to another format, such as training code reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regioncap.config.checks import is_part_of
from regioncap.errors import PluginError, RegionCapError, UsageError
from regioncap.exports.base import Coords, Direction, Export, ExportOptions, ExportResult, Rows
from regioncap.inputs.coco import looks_like_coco, read_categories
from regioncap.inputs.formats import file_kind
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned, Written
from regioncap.output.where import Condition, chosen
from regioncap.plugin_loading import Plugin
from regioncap.records import Row
from regioncap.registry import ExportFormat, export_format, load
from regioncap.row_work import raised_by
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.vision.libraries import image_libraries


@dataclass(frozen=True)
class ExportRequest:
    """An export to make. `to`: one of `EXPORTS`, or a plugin; `output`: its address ("": beside the output); `where`:
    filter conditions; `direction`, `coords`: for conversations."""

    to: str
    output: str = ""
    where: Sequence[str] = ()
    direction: Direction = "box2text"
    coords: Coords = "0-1"


@image_libraries
def export(written: Written, order: ExportRequest, files: Filesystems) -> ExportResult:
    """Export an output. Raises UsageError for a wrong request or file, StorageError, PluginError."""
    conditions = [Condition.of(text) for text in order.where]

    def rows() -> Iterator[Captioned]:
        return chosen(written.rows(), conditions)

    kind = export_format(order.to)
    write: Export = _own(kind.plugin) if kind.plugin is not None else load(kind.entry)
    out = export_place(written, order, kind, files)
    categories = _categories(written, files) if order.to == "coco" or kind.plugin is not None else []
    pictures = Pictures(written, files)
    done = write(rows, out, ExportOptions(pictures.read, categories, order.direction, order.coords))
    if not done.rows and not done.left_out:
        if kind.plugin is not None and next(rows(), None) is not None:
            raise PluginError(f"{kind.plugin.title} counted no rows; expected ExportResult.count(row) for each of them")
        raise UsageError("--where: no row satisfies all conditions; the export is empty")
    return done


def _own(plugin: Plugin) -> Export:
    """A user's own export: whatever it raises is a PluginError that names it."""

    def write(rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
        try:
            done = plugin.target(rows, out, setting)
        except RegionCapError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{raised_by(plugin.title, error, plugin.module)}. The output is as it was.") from None
        if not isinstance(done, ExportResult):
            raise PluginError(
                f"{plugin.title} returned {type(done).__name__}; expected ExportResult, with what was written"
            )
        return done

    return write


def export_place(written: Written, order: ExportRequest, kind: ExportFormat, files: Filesystems) -> Place:
    """Where an export is written. Raises UsageError if that is the output itself or the run's input."""
    address = order.output or written.place.address.rstrip("/").removesuffix(".jsonl") + kind.ending
    if address.rstrip("/") == written.place.address.rstrip("/"):
        raise UsageError(f"--output: expected a path other than the output itself, got {address}")
    if is_part_of(address, written.settings.input):
        raise UsageError(
            f"--output: {address} is, or is inside, the run's input {written.settings.input}; choose another path"
        )
    place = files.place(address.rstrip("/"))
    if not kind.folder and place.is_local and place.is_folder():
        raise UsageError(f"--output: expected a file, got the folder {address}")
    return place


def _categories(written: Written, files: Filesystems) -> list[Row]:
    """The categories of the COCO file that the run read, those without a box included; none if the file is gone."""
    source = files.place(written.settings.input)
    with contextlib.suppress(RegionCapError, FileNotFoundError, ValueError, OSError):
        if file_kind(source.file_name) == ".json" and source.size() and looks_like_coco(source):
            return read_categories(source)
    return []
