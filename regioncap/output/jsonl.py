"""The lines of the output and of the rejects file, made from joined rows.

Plain functions; `tasks/write.py` decides when and where the lines are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regioncap.image_ref import ref_of
from regioncap.records import META_KEY, Row


def region_texts(captions: list[str]) -> list[str]:
    """One string per region, each beginning with its label.

    >>> region_texts(["a cup", "a spoon"])
    ['<region1> a cup', '<region2> a spoon']
    """
    return [f"<region{number}> {text}" for number, text in enumerate(captions, 1)]


@dataclass(frozen=True)
class RowFormat:
    """The format of an output row: the output's contract.

    `output_key`: the key of the captions. `joined`: all of them in one string. `marks`: the folder of the marked
    pictures as the output names it; None when none are kept. `captioner`, `model`: what described the regions.
    """

    output_key: str
    joined: bool
    marks: str | None
    captioner: str
    model: str

    def captioned(self, loaded: Row, drawn: Row, captioned: Row, flags: Sequence[Sequence[str]] = ()) -> Row:
        """An output line, from the `load`, `visualize` and `caption` versions of one row. `flags`: a list per region.
        Flags, people's edits, region fields and an image's place in its container are in the line only if there are
        any."""
        texts = region_texts(captioned["captions"])
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
            "image_sha256": drawn["image_sha256"],
            "prompt": captioned["prompt"],
            "captioner": self.captioner,
            "model": self.model,
            "usage": captioned["usage"],
            "warnings": drawn["warnings"] + captioned.get("warnings", []),
        }
        meta |= ref_of(drawn).meta()
        if "edited" in captioned:
            meta["edited"] = captioned["edited"]
        if any(flags):
            meta["flags"] = [list(names) for names in flags]
        if fields := region_lists(drawn.get("region_fields", [])):
            meta["region_fields"] = fields
        carried = {key: value for key, value in loaded["row"].items() if key not in (self.output_key, META_KEY)}
        return {**carried, self.output_key: ["\n".join(texts)] if self.joined else texts, META_KEY: meta}


def region_lists(of_regions: Sequence[Row]) -> dict[str, list[Any]]:
    """Turn values by region into lists by name, parallel to `bbox`. Names without any value are omitted.

    >>> region_lists([{"label": "cat", "score": None}, {"label": "dog", "score": None}])
    {'label': ['cat', 'dog']}
    """
    names = dict.fromkeys(name for values in of_regions for name in values)
    lists = {name: [values.get(name) for values in of_regions] for name in names}
    return {name: values for name, values in lists.items() if any(value not in (None, "") for value in values)}


REGION_KEYS = ("image_sha256", "width", "height", "bbox")
"""What a reject says of its image and regions, if it is known: people can still write the captions."""


def rejected_line(loaded: Row, drawn: Row, last: Row) -> Row:
    """A line of the rejects file, from the `load`, `visualize` and last versions of one row: the row as it was read
    (its text if it is no JSON object) and what went wrong; the image's place in its container and its regions, as
    `meta_info` of an output row has them."""
    source = {"source": loaded["source"]} if "source" in loaded else {}
    kept: Row = {key: last[key] for key in ("dropped_bbox", "captions") if key in last}
    row = loaded["row"] if "row" in loaded else loaded["raw"]
    where = f"{loaded['source']} line {loaded['line']}" if source else f"line {loaded['line']}"
    reject = last["reject"]
    reason: Row = {"step": reject["step"], "code": reject["code"], "message": f"{where}: {reject['message']}"}
    place = ref_of(loaded).meta() if "image" in loaded else {}
    regions = {} if "reject" in drawn else {key: drawn[key] for key in REGION_KEYS if key in drawn}
    return {"line": loaded["line"], **source, **place, "row": row, **reason, **kept, **regions}
