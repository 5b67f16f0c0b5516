"""The files of a run's output, by name, and whether they are what a summary says."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tasks.records import loads
from tasks.storage.filesystem import Place
from tasks.summary import Summary

INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class Outputs:
    """`out.jsonl` and what lies beside it; with `variant="incomplete"` the same for a run that must not replace it."""

    output: Place
    variant: str = ""

    def _beside(self, kind: str) -> Place:
        stem = self.output.name.removesuffix(".jsonl")
        return self.output.parent.child(".".join(filter(None, (stem, self.variant, kind))))

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
    def runs(self) -> Place:
        """One line for every run, complete or not."""
        return Outputs(self.output)._beside("runs.jsonl")

    def read_summary(self) -> Summary | None:
        """The summary; None when there is none that can be read."""
        with contextlib.suppress(FileNotFoundError, ValueError, ValidationError):
            return Summary.model_validate(loads(self.summary.read()))
        return None

    def written(self, key: str) -> Summary | None:
        """The summary of the run that wrote these files for the work `key`, if the files still have their sizes."""
        found = self.read_summary()
        if found is None or found.write_key != key:
            return None
        sizes = (self.rows.size(), self.rejects.size())
        return found if sizes == (found.output_bytes, found.rejects_bytes) else None

    def remove(self) -> None:
        """Take rows, rejects and summary away."""
        for place in (self.rows, self.rejects, self.summary):
            place.remove()


def config_of_output(place: Place) -> dict[str, Any] | None:
    """The settings of the run that wrote the output at `place`; None when there is no summary beside it."""
    if not place.address.endswith(".jsonl"):
        return None
    for variant in ("", INCOMPLETE):
        summary = Outputs(place, variant).read_summary()
        if summary is not None:
            return summary.config
    return None
