"""Reads a run's output back, rows and rejects, for the report and for exports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.image_ref import ImageRef, ref_in_output
from regioncap.inputs.streams import ReadProgress, open_stream
from regioncap.output.audit_file import InconsistentCaptions
from regioncap.output.caption_flags import INCONSISTENT
from regioncap.output.outputs import INCOMPLETE, FileOutputs, Outputs, PartOutputs, is_parts_folder
from regioncap.output.summary import Summary
from regioncap.records import META_KEY, Row, loads, shorten
from regioncap.row_keys import image_name_at
from regioncap.row_work import words_of
from regioncap.storage.filesystem import Filesystems, Place


@dataclass(frozen=True)
class Captioned:
    """One captioned row. The lists are parallel: index i of each is the same region.

    `number`: position among the output's rows, from 1. `ref`: where its image is. `width`, `height`: pixels, as
    displayed. `bbox`: (N, 4) xywh in those pixels, numbers as given. `regions`: the numbers of the regions, from 1.
    `flags`: a list of names per region. `fields`: region fields, a list per name. `row`: the input's other keys, and
    `image_row` where the image is in a row of a Parquet file. `line`: the output's row as it stands there.
    """

    number: int
    ref: ImageRef
    width: int
    height: int
    bbox: list[list[float]]
    captions: list[str]
    regions: list[int]
    flags: list[list[str]]
    fields: dict[str, list[Any]]
    row: Row
    meta: Row
    line: Row = field(default_factory=dict, repr=False)

    @property
    def image(self) -> str:
        """The image as the row names it."""
        return self.ref.name

    @property
    def kind(self) -> str:
        """`with_bbox` or `without_bbox`."""
        return str(self.meta.get("type", ""))

    @property
    def edited(self) -> list[str | None]:
        """What people decided on each region: `approved`, `edited`, `rejected`, or None for nothing."""
        marks = self.meta.get("edited")
        if not isinstance(marks, list):
            return [None] * len(self.regions)
        return [marks[number - 1] if number <= len(marks) else None for number in self.regions]

    def only(self, places: Sequence[int]) -> Captioned:
        """The row with only the regions at these indices."""
        return replace(
            self,
            bbox=[self.bbox[i] for i in places],
            captions=[self.captions[i] for i in places],
            regions=[self.regions[i] for i in places],
            flags=[self.flags[i] for i in places],
            fields={name: [values[i] for i in places] for name, values in self.fields.items()},
        )


def captioned(row: Row, number: int, settings: RegionCapConfig) -> Captioned:
    """The `Captioned` row of an output line. Raises ValueError if the line is not one."""
    output_key, image_key = settings.output_key, settings.image_key
    try:
        meta = row[META_KEY]
        bbox = meta["bbox"]
        count = len(bbox)
        flags = meta.get("flags") or [[] for _ in bbox]
        captions = _texts(row[output_key], count)
        represented = (output_key, META_KEY, image_key, settings.boxes_key, *settings.region_fields)
        fields = meta.get("region_fields", {})
        width, height = int(meta["width"]), int(meta["height"])
        ref = ref_in_output(image_name_at(row, image_key), meta, image_key)
        own = {key: value for key, value in row.items() if key not in represented}
        if ref.row is not None:  # the image's name alone does not tell it from others of its file
            own.setdefault("image_row", ref.row)
    except Exception as error:
        raise ValueError(f"not a row of a RegionCap output: {type(error).__name__} {words_of(error)}") from None
    if not len(captions) == len(flags) == count or any(len(values) != count for values in fields.values()):
        raise ValueError(f"{count} boxes, but {len(captions)} captions and {len(flags)} lists of flags")
    numbers = list(range(1, count + 1))
    return Captioned(number, ref, width, height, bbox, captions, numbers, flags, fields, own, meta, row)


def _texts(record: list[str], count: int) -> list[str]:
    """Captions without their labels, for both record styles."""
    if len(record) == 1 and count > 1:
        # A caption holds no line break, so whatever begins a line is a label.
        record = re.split(r"\n(?=<region\d+> )", record[0])
    return [re.sub(r"^<region\d+> ?", "", text) for text in record]


def sound(value: Any) -> Any:
    """`value` with every lone surrogate, which other programs cannot read, replaced by U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {sound(key): sound(item) for key, item in value.items()}
    return [sound(item) for item in value] if isinstance(value, list) else value


def lines_of(place: Place) -> Iterator[Row]:
    """The rows of a JSON Lines file, one at a time; none if there is no file. Raises UsageError, StorageError."""
    if place.size() is None:
        return
    with open_stream(place, ReadProgress()) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = loads(line)
            except ValueError as error:
                raise UsageError(f"{place.url} line {number}: expected one JSON object per line: {error}") from None
            if not isinstance(row, dict):
                raise UsageError(f"{place.url} line {number}: expected one JSON object per line, got {shorten(row)}")
            # Only escapes can smuggle lone surrogates in.
            yield sound(row) if b"\\ud" in line.lower() else row


@dataclass(frozen=True)
class Written:
    """The output of a run: a file, or a folder of parts. `settings`: those of the run that matter for reading.

    `rows` raises UsageError for lines that are not output rows.
    """

    place: Place
    settings: RegionCapConfig
    summary: Summary | None = None
    incomplete: bool = False
    names: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Outputs:
        """The output's files."""
        return (
            PartOutputs(self.place) if is_parts_folder(self.place.address) else FileOutputs(self.place, self._variant)
        )

    @property
    def _variant(self) -> str:
        return INCOMPLETE if self.incomplete else ""

    def rows(self) -> Iterator[Captioned]:
        """The captioned rows, in order, one at a time."""
        number = 0
        for place in self._row_places():
            for row in lines_of(place):
                number += 1
                try:
                    yield self._with_audit(captioned(row, number, self.settings))
                except ValueError as error:
                    keys = f"image_key {self.settings.image_key!r} and output_key {self.settings.output_key!r}"
                    raise UsageError(f"{place.url} row {number}: {error}; expected rows with {keys}") from None

    def _with_audit(self, row: Captioned) -> Captioned:
        """The row with what the last audit of the output found of its captions as they are now."""
        boxes = self._inconsistent.boxes(str(row.meta.get("image_sha256")), row.bbox, row.captions)
        marked = {box for box in boxes if not row.edited[box]}  # a person's word counts more
        flags = [[*names, INCONSISTENT] if box in marked else names for box, names in enumerate(row.flags)]
        return replace(row, flags=flags) if marked else row

    @cached_property
    def _inconsistent(self) -> InconsistentCaptions:
        return InconsistentCaptions.of(self.place)

    def rejects(self) -> Iterator[Row]:
        """The rejects, in order, one at a time."""
        files = self.files
        if isinstance(files, FileOutputs):
            yield from lines_of(files.rejects)
        elif isinstance(files, PartOutputs):
            for name in self._part_names(files):
                yield from lines_of(files.rejects(name))

    def _row_places(self) -> list[Place]:
        files = self.files
        if isinstance(files, PartOutputs):
            return [files.rows(name) for name in self._part_names(files)]
        assert isinstance(files, FileOutputs)
        return [files.rows]

    def _part_names(self, files: PartOutputs) -> list[str]:
        # While a run replaces parts, the index is still that of the previous run.
        complete = files.success.size() is not None
        return list(files.read_index()) if complete else sorted(files.names())


NAMES = ("image_key", "output_key", "image_root", "cache_path")


def open_output(address: str, files: Filesystems, **names: str | None) -> Written:
    """The output at `address`. `names`: `image_key`, `output_key`, `image_root`, `cache_path`, if they differ from
    those of the run that wrote it, or if its summary is lost.

    Raises UsageError if there is no output.
    """
    place = files.place(address)
    if place.is_local and not is_parts_folder(address) and place.is_folder():
        address, place = f"{address}/", files.place(f"{address}/")
    found: list[Outputs] = [PartOutputs(place)]
    if not is_parts_folder(address):
        found = [FileOutputs(place), FileOutputs(place, INCOMPLETE)]
    for outputs in found:
        there = outputs.rows.size() is not None if isinstance(outputs, FileOutputs) else _has_parts(outputs)
        if there:
            summary = outputs.read_summary()
            settings = settings_of(summary.config if summary else {}, address, names)
            return Written(place, settings, summary, outputs.variant == INCOMPLETE)
    raise UsageError(f"{place.url}: no output of a run found; expected the file or folder given as --output")


def _has_parts(outputs: Outputs) -> bool:
    return isinstance(outputs, PartOutputs) and bool(outputs.names())


def settings_of(config: dict[str, Any], address: str, names: dict[str, str | None]) -> RegionCapConfig:
    """The settings recorded in a summary, also of another version; without a summary, the defaults."""
    known = {name: value for name, value in config.items() if name in RegionCapConfig.model_fields}
    given = {name: value for name, value in names.items() if value is not None}
    values: dict[str, Any] = {"input": address, "output": f"{address}.", "captioner": "pixels", **known, **given}
    return RegionCapConfig.model_construct(**values)
