"""What an output's audit found, looked up in the rows of the output as they are now."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from regioncap.output.reading import Captioned
from regioncap.records import Row
from regioncap.report.cards import shown

MAX_WORST = 8
"""Pictures that the page lists as those with the most findings."""

MAX_CAPTION_CHARS = 300
ARMS = {"permuted": "with other numbers", "reversed": "in reverse order"}


class Findings:
    """The captions that an audit found to follow another box, and the rows of the output that still have them.

    `record`: what the audit's file holds. Rows are found again by image and box, whatever their numbers are now.
    `worst`, `replaced` count what `look_at` was given.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._found: defaultdict[Any, list[Row]] = defaultdict(list)
        for one in record.get("inconsistent") or ():
            with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):  # a damaged entry is no finding
                key = _key(one["image_sha256"] or one["image"], one["bbox"], one["caption"])
                again = shown(one["again"], MAX_CAPTION_CHARS)
                self._found[key].append({"arm": ARMS[one["arm"]], "again": again, "another": int(one["another"]) + 1})
        self._rows: dict[int, Row] = {}
        self._still: set[Any] = set()

    def look_at(self, row: Captioned, position: int) -> None:
        """Count what was found in a row of the output. `position`: among the rows of the page's source, from 1."""
        found = self.of_row(row)
        if found:
            moves: defaultdict[str, list[Row]] = defaultdict(list)
            for place, ones in found.items():
                for one in ones:
                    moves[one["arm"]].append({"box": row.regions[place], "another": one["another"]})
            texts = {"id": f"r{row.number}", "label": f"#{row.number:,}", "image": shown(row.image, MAX_CAPTION_CHARS)}
            self._rows[position] = {**texts, "moves": dict(moves), "count": sum(map(len, moves.values()))}
            self._still |= {_key_of(row, place) for place in found}

    def of_row(self, row: Captioned) -> dict[int, list[Row]]:
        """What was found in a row, by the indices of its boxes.

        `arm`: in words; `again`: the caption that came in it; `another`: the number of the region that has such a one.
        """
        if not self._found:
            return {}
        found = {place: self._found.get(_key_of(row, place)) for place in range(len(row.bbox))}
        return {place: ones for place, ones in found.items() if ones}

    def worst(self) -> dict[int, Row]:
        """The rows with the most findings by their positions, worst first."""
        ranked = sorted(self._rows, key=lambda position: (-self._rows[position]["count"], position))
        return {position: self._rows[position] for position in ranked[:MAX_WORST]}

    @property
    def replaced(self) -> int:
        """The number of captions that were found and are not in the output any more."""
        return len(self._found) - len(self._still)


def _key_of(row: Captioned, place: int) -> Any:
    return _key(row.meta.get("image_sha256") or row.image, row.bbox[place], row.captions[place])


def _key(image: Any, bbox: Iterable[Any], caption: Any) -> Any:
    return str(image), tuple(float(number) for number in bbox), str(caption)
