"""The output: captioned rows as JSON Lines, and beside them the rows that could not be captioned.

Plain functions from joined rows to lines; `tasks/write.py` decides when and where they go.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.records import Row

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

    def captioned(self, loaded: Row, drawn: Row, told: Row) -> Row:
        """A line of the output, of what `load`, `visualize` and `caption` know of one row."""
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
        carried = {key: value for key, value in loaded["row"].items() if key not in (self.output_key, META_KEY)}
        return {**carried, self.output_key: ["\n".join(texts)] if self.joined else texts, META_KEY: meta}


def rejected_line(loaded: Row, last: Row) -> Row:
    """A line of the rejects file: the row as it came (its text where it was no JSON object), and what went wrong."""
    source = {"source": loaded["source"]} if "source" in loaded else {}
    kept: Row = {key: last[key] for key in ("dropped_bbox", "captions") if key in last}
    row = loaded["row"] if "row" in loaded else loaded["raw"]
    where = f"{loaded['source']} line {loaded['line']}" if source else f"line {loaded['line']}"
    reject = last["reject"]
    told: Row = {"step": reject["step"], "code": reject["code"], "message": f"{where}: {reject['message']}"}
    return {"line": loaded["line"], **source, "row": row, **told, **kept}
