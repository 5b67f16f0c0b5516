"""The files of a run's output: their names, and whether they match the summary.

Either one file, `out.jsonl`, with its companions beside it; or, if the output ends in `/`, a folder of parts:

    out/part-00000-3f2a….jsonl      the captioned rows of a shard
    out/_SUCCESS                    present when the parts are those of a complete run
    out/_regioncap/index.json       the parts in order, with rows and bytes
    out/_regioncap/rejects/…        the rows that could not be captioned, by part
    out/_regioncap/summary.json, runs.jsonl, audit.json, unused_edits.jsonl
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from regioncap.errors import UsageError
from regioncap.output.summary import Summary
from regioncap.records import dumps, loads
from regioncap.storage.filesystem import Place

INCOMPLETE = "incomplete"
INSIDE = "_regioncap"
SUCCESS = "_SUCCESS"


def is_parts_folder(address: str) -> bool:
    """Whether an output's address names a folder of parts."""
    return address.endswith("/")


@dataclass(frozen=True)
class OutputPart:
    """One part: the rows of a shard, and those of them that were rejected. `tally`: its share of the summary."""

    name: str
    rows: int
    bytes: int
    rejects: int
    rejects_bytes: int
    tally: dict[str, Any]


@dataclass(frozen=True)
class Outputs:
    """What both kinds of output have: a summary, and a log with a line per run."""

    output: Place
    variant: str = ""

    @property
    def summary(self) -> Place:
        """The summary: the commit mark."""
        raise NotImplementedError

    @property
    def unused_edits(self) -> Place:
        """People's corrections that fit no row; no file when there are none."""
        raise NotImplementedError

    @property
    def runs(self) -> Place:
        """One line for every run, complete or not."""
        raise NotImplementedError

    @property
    def audit(self) -> Place:
        """The last audit of the output."""
        raise NotImplementedError

    @property
    def lease(self) -> Place:
        """What a run holds as long as it may write these files."""
        raise NotImplementedError

    @property
    def kept_in(self) -> tuple[list[Place], str]:
        """(the folders that these files are in, how their names begin)."""
        raise NotImplementedError

    def has_unused_edits_of(self, summary: Summary) -> bool:
        """Whether the edits that fit no row are still listed, if the run of `summary` had any."""
        return not summary.unused_edits_file or self.unused_edits.size() is not None

    def read_summary(self) -> Summary | None:
        """The summary; None when it is missing or cannot be read."""
        with contextlib.suppress(FileNotFoundError, ValueError, ValidationError):
            return Summary.model_validate(loads(self.summary.read()))
        return None


@dataclass(frozen=True)
class FileOutputs(Outputs):
    """`out.jsonl` and its companions; with `variant="incomplete"` those of a run that must not replace it."""

    def _beside(self, kind: str) -> Place:
        return self.output.parent.child(".".join(filter(None, (self._stem, self.variant, kind))))

    @property
    def _stem(self) -> str:
        return self.output.name.removesuffix(".jsonl")

    @property
    def rows(self) -> Place:
        """The captioned rows."""
        return self._beside("jsonl") if self.variant else self.output

    @property
    def rejects(self) -> Place:
        """The rows that could not be captioned."""
        return self._beside("rejects.jsonl")

    @property
    def summary(self) -> Place:
        """The summary: the commit mark."""
        return self._beside("summary.json")

    @property
    def unused_edits(self) -> Place:
        """People's corrections that fit no row; no file when there are none."""
        return self._beside("unused_edits.jsonl")

    @property
    def runs(self) -> Place:
        """One line for every run, complete or not."""
        return FileOutputs(self.output)._beside("runs.jsonl")

    @property
    def audit(self) -> Place:
        """The last audit of the output."""
        return self._beside("audit.json")

    @property
    def lease(self) -> Place:
        """What a run holds as long as it may write these files."""
        return self.output.parent.child(f".{self._stem}.lease")

    @property
    def kept_in(self) -> tuple[list[Place], str]:
        """See `Outputs`."""
        return [self.output.parent], self._stem

    def written(self, key: str) -> Summary | None:
        """The summary of the run that wrote these files under this write key, if they still have their sizes."""
        found = self.read_summary()
        if found is None or found.write_key != key or not self.has_unused_edits_of(found):
            return None
        sizes = (self.rows.size(), self.rejects.size())
        return found if sizes == (found.output_bytes, found.rejects_bytes) else None

    def remove(self) -> None:
        """Remove rows, rejects, summary and what lies beside them; not the audit, whose findings later runs need."""
        for place in (self.rows, self.rejects, self.summary, self.unused_edits):
            place.remove()


@dataclass(frozen=True)
class PartOutputs(Outputs):
    """A folder of parts; see the module's docstring. A part's name holds its shard's number and write key."""

    @property
    def inside(self) -> Place:
        """The folder of everything but captioned rows; data-set readers skip names that begin with `_`."""
        return self.output.child(INSIDE)

    @property
    def success(self) -> Place:
        """An empty file, present when the parts are those of a complete run."""
        return self.output.child(SUCCESS)

    @property
    def summary(self) -> Place:
        """The summary: the commit mark."""
        return self.inside.child("summary.json")

    @property
    def unused_edits(self) -> Place:
        """People's corrections that fit no row; no file when there are none."""
        return self.inside.child("unused_edits.jsonl")

    @property
    def runs(self) -> Place:
        """One line for every run, complete or not."""
        return self.inside.child("runs.jsonl")

    @property
    def audit(self) -> Place:
        """The last audit of the output."""
        return self.inside.child("audit.json")

    @property
    def lease(self) -> Place:
        """What a run holds as long as it may write these files."""
        return self.inside.child(".lease")

    @property
    def kept_in(self) -> tuple[list[Place], str]:
        """See `Outputs`."""
        return [self.output, self.inside, self.inside.child("rejects")], ""

    @property
    def index(self) -> Place:
        """The parts, in the order of the input."""
        return self.inside.child("index.json")

    def rows(self, name: str) -> Place:
        """The captioned rows of a part."""
        return self.output.child(name)

    def rejects(self, name: str) -> Place:
        """The rejected rows of a part; no file when there are none."""
        return self.inside.child("rejects", name)

    def written(self, key: str) -> Summary | None:
        """The summary of the run that wrote these parts under this key, if they are still as it left them."""
        found = self.read_summary()
        if found is None or found.write_key != key or not self.has_unused_edits_of(found):
            return None
        return found if found.complete == (self.success.size() is not None) else None

    def names(self) -> set[str]:
        """Names of all existing parts, those of earlier runs included."""
        return {name for name in self.output.names() if name.startswith("part-") and name.endswith(".jsonl")}

    def read_index(self) -> dict[str, OutputPart]:
        """The parts of the last complete run by name; empty when the index cannot be read."""
        try:
            found = loads(self.index.read())
            return {part["name"]: OutputPart(**part) for part in found["parts"]}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}

    def write_index(self, parts: list[OutputPart]) -> None:
        """Write the index of parts."""
        self.index.write(dumps({"schema": 1, "parts": [vars(part) for part in parts]}) + b"\n")


def outputs_at(output: Place) -> Outputs:
    """The files of an output, whichever kind it is."""
    return PartOutputs(output) if is_parts_folder(output.address) else FileOutputs(output)


def check_output(place: Place) -> None:
    """Raises UsageError for an impossible output, before anything is paid for."""
    if place.is_local and not is_parts_folder(place.address) and place.is_folder():
        raise UsageError(f"output: {place.url} is a folder; expected a file (….jsonl), or {place.url}/ for parts in it")


def config_of_output(place: Place) -> dict[str, Any] | None:
    """The settings of the run that wrote the output at `place`; None when there is no summary."""
    if is_parts_folder(place.address):
        candidates: list[Outputs] = [PartOutputs(place)]
    elif place.address.endswith(".jsonl"):
        candidates = [FileOutputs(place), FileOutputs(place, INCOMPLETE)]
    else:
        return None
    found = next(filter(None, (files.read_summary() for files in candidates)), None)
    return found.config if found is not None else None
