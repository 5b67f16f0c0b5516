"""A run's output read back: its rows and rejects as they are needed for looking and for exports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError
from regioncap.inputs.streams import Gauge, open_stream
from regioncap.output.jsonl import META_KEY
from regioncap.output.outputs import INCOMPLETE, FileOutputs, Outputs, PartOutputs, in_parts
from regioncap.output.summary import Summary
from regioncap.records import Row, loads
from regioncap.storage.filesystem import Filesystems, Place


@dataclass(frozen=True)
class Captioned:
    """One captioned row. Lists are parallel: place i of each is the same region.

    `number`: place among the output's rows, from 1. `image`: as the row names it. `width`, `height`: pixels as
    displayed. `bbox`: (N, 4) xywh in those pixels, numbers as given. `regions`: the numbers of the regions, from 1.
    `flags`: names, a list a region. `fields`: region fields, a list a name. `row`: the input's other keys.
    """

    number: int
    image: str
    width: int
    height: int
    bbox: list[list[float]]
    captions: list[str]
    regions: list[int]
    flags: list[list[str]]
    fields: dict[str, list[Any]]
    row: Row
    meta: Row

    @property
    def kind(self) -> str:
        """`with_bbox` or `without_bbox`."""
        return str(self.meta.get("type", ""))

    def only(self, places: Sequence[int]) -> Captioned:
        """The row with the regions at these places only."""
        return replace(
            self,
            bbox=[self.bbox[i] for i in places],
            captions=[self.captions[i] for i in places],
            regions=[self.regions[i] for i in places],
            flags=[self.flags[i] for i in places],
            fields={name: [values[i] for i in places] for name, values in self.fields.items()},
        )


def captioned(row: Row, number: int, settings: RegionCapConfig) -> Captioned:
    """A line of an output. Raises ValueError when it is none."""
    output_key, image_key = settings.output_key, settings.image_key
    try:
        meta = row[META_KEY]
        bbox = meta["bbox"]
        count = len(bbox)
        flags = meta.get("flags") or [[] for _ in bbox]
        captions = _texts(row[output_key], count)
        told = (output_key, META_KEY, image_key, settings.boxes_key, *settings.region_fields)
        own = {key: value for key, value in row.items() if key not in told}
        fields = meta.get("region_fields", {})
        width, height = int(meta["width"]), int(meta["height"])
        image = str(row[image_key])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no row of a RegionCap output: {type(error).__name__} {error}") from None
    if not len(captions) == len(flags) == count or any(len(values) != count for values in fields.values()):
        raise ValueError(f"{count} boxes, but {len(captions)} captions and {len(flags)} lists of flags")
    numbers = list(range(1, count + 1))
    return Captioned(number, image, width, height, bbox, captions, numbers, flags, fields, own, meta)


def _texts(record: list[str], count: int) -> list[str]:
    """Captions without their labels, of both record styles."""
    if len(record) == 1 and count > 1:
        # A caption has no line end, so what begins a line is a label.
        record = re.split(r"\n(?=<region\d+> )", record[0])
    return [re.sub(r"^<region\d+> ?", "", text) for text in record]


def sound(value: Any) -> Any:
    """`value` with every unpaired surrogate, which no other program could read, as U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {sound(key): sound(item) for key, item in value.items()}
    return [sound(item) for item in value] if isinstance(value, list) else value


def lines_of(place: Place) -> Iterator[Row]:
    """The rows of a JSON Lines file, one at a time; none when it is not there. Raises UsageError, StorageError."""
    if place.size() is None:
        return
    with open_stream(place, Gauge()) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = loads(line)
            except ValueError as error:
                raise UsageError(f"{place.url} line {number}: expected a JSON object a line: {error}") from None
            # Only Python's own JSON, which escapes, lets unpaired surrogates through.
            yield sound(row) if b"\\ud" in line.lower() else row


@dataclass(frozen=True)
class Written:
    """An output that was written: a file, or a folder of parts. `settings`: those of its run, as far as they matter.

    Raises UsageError from `rows` for lines that are no rows of an output.
    """

    place: Place
    settings: RegionCapConfig
    summary: Summary | None = None
    incomplete: bool = False
    names: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Outputs:
        """Where its files lie."""
        return PartOutputs(self.place) if in_parts(self.place.address) else FileOutputs(self.place, self._variant)

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
                    yield captioned(row, number, self.settings)
                except ValueError as error:
                    keys = f"image_key {self.settings.image_key!r} and output_key {self.settings.output_key!r}"
                    raise UsageError(f"{place.url} row {number}: {error}; expected rows with {keys}") from None

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
        # While a run replaces parts, the index is that of the run before.
        complete = files.success.size() is not None
        return list(files.read_index()) if complete else sorted(files.names())


NAMES = ("image_key", "output_key", "image_root")


def open_output(address: str, files: Filesystems, **names: str | None) -> Written:
    """The output at `address`. `names`: `image_key`, `output_key`, `image_root`, where they are others than in the run
    that wrote it, or where its summary is lost.

    Raises UsageError when there is no output.
    """
    place = files.place(address)
    if place.is_local and not in_parts(address) and place.is_folder():
        address, place = f"{address}/", files.place(f"{address}/")
    found: list[Outputs] = [PartOutputs(place)]
    if not in_parts(address):
        found = [FileOutputs(place), FileOutputs(place, INCOMPLETE)]
    for outputs in found:
        there = outputs.rows.size() is not None if isinstance(outputs, FileOutputs) else _has_parts(outputs)
        if there:
            summary = outputs.read_summary()
            settings = settings_of(summary.config if summary else {}, address, names)
            return Written(place, settings, summary, outputs.variant == INCOMPLETE)
    raise UsageError(f"{place.url}: there is no output of a run; expected the file or folder that --output named")


def _has_parts(outputs: Outputs) -> bool:
    return isinstance(outputs, PartOutputs) and bool(outputs.names())


def settings_of(config: dict[str, Any], address: str, names: dict[str, str | None]) -> RegionCapConfig:
    """The settings that a summary has, also one of another version; without one, the defaults."""
    known = {name: value for name, value in config.items() if name in RegionCapConfig.model_fields}
    given = {name: value for name, value in names.items() if value is not None}
    values: dict[str, Any] = {"input": address, "output": f"{address}.", "captioner": "pixels", **known, **given}
    return RegionCapConfig.model_construct(**values)
