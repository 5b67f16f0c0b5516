"""The output: captioned rows as JSON Lines, and beside them the rows that could not be captioned.

Plain functions from joined rows to lines; `tasks/write.py` decides when and where they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regioncap.records import Row

META_KEY = "meta_info"


def region_texts(captions: list[str]) -> list[str]:
    """One string a region, each beginning with its mark.

    >>> region_texts(["a cup", "a spoon"])
    ['<region1> a cup', '<region2> a spoon']
    """
    return [f"<region{number}> {text}" for number, text in enumerate(captions, 1)]


@dataclass(frozen=True)
class RowFormat:
    """How a captioned row looks: the output's contract.

    `output_key`: the key of the captions. `joined`: all of them in one string. `marks`: the folder of the marked
    pictures as the output names it, None when none are kept. `captioner`, `model`: who described the regions.
    """

    output_key: str
    joined: bool
    marks: str | None
    captioner: str
    model: str

    def captioned(self, loaded: Row, drawn: Row, told: Row, flags: Sequence[Sequence[str]] = ()) -> Row:
        """A line of the output, of what `load`, `visualize` and `caption` know of one row. `flags`: a list a region;
        they, and region fields, are in the line only where there are any."""
        texts = region_texts(told["captions"])
        sha256 = drawn["marked"]["sha256"]
        meta = {
            "type": drawn["type"],
            "bbox": drawn["bbox"],
            "normalized_bbox": drawn["normalized_bbox"],
            "image_with_bbox": f"{self.marks}/{sha256[:2]}/{sha256}.jpg" if self.marks is not None else "",
            "valid_bboxes_num": drawn["valid_bboxes_num"],
            "bbox_index": drawn["bbox_index"],
            "dropped_bbox": drawn["dropped_bbox"],
            "width": drawn["width"],
            "height": drawn["height"],
            "prompt": told["prompt"],
            "captioner": self.captioner,
            "model": self.model,
            "usage": told["usage"],
            "warnings": drawn["warnings"] + told.get("warnings", []),
        }
        if any(flags):
            meta["flags"] = [list(names) for names in flags]
        if fields := region_lists(drawn.get("region_fields", [])):
            meta["region_fields"] = fields
        carried = {key: value for key, value in loaded["row"].items() if key not in (self.output_key, META_KEY)}
        return {**carried, self.output_key: ["\n".join(texts)] if self.joined else texts, META_KEY: meta}


def region_lists(of_regions: Sequence[Row]) -> dict[str, list[Any]]:
    """Values by region as lists by name, parallel to `bbox`; names that no region has a value for are left out.

    >>> region_lists([{"label": "cat", "score": None}, {"label": "dog", "score": None}])
    {'label': ['cat', 'dog']}
    """
    names = dict.fromkeys(name for values in of_regions for name in values)
    lists = {name: [values.get(name) for values in of_regions] for name in names}
    return {name: values for name, values in lists.items() if any(value not in (None, "") for value in values)}


def rejected_line(loaded: Row, last: Row) -> Row:
    """A line of the rejects file: the row as it came (its text where it was no JSON object), and what went wrong."""
    source = {"source": loaded["source"]} if "source" in loaded else {}
    kept: Row = {key: last[key] for key in ("dropped_bbox", "captions") if key in last}
    row = loaded["row"] if "row" in loaded else loaded["raw"]
    where = f"{loaded['source']} line {loaded['line']}" if source else f"line {loaded['line']}"
    reject = last["reject"]
    told: Row = {"step": reject["step"], "code": reject["code"], "message": f"{where}: {reject['message']}"}
    return {"line": loaded["line"], **source, "row": row, **told, **kept}
