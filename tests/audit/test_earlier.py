"""What earlier audits found stays in the file until an audit of the same caption settles it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from regioncap.audit.asking import AskedAgain
from regioncap.audit.auditing import record_of
from regioncap.audit.figures import measure
from regioncap.audit.rows import AuditedRow
from regioncap.audit.sampling import Sample
from regioncap.run.context import RunContext
from tests.support.runs import config_of

BUS, DOG, TREE = "a red double-decker bus", "a brown dog with a collar", "an old oak tree"
BOXES = [[0.0, 0.0, 9.0, 9.0], [20.0, 0.0, 9.0, 9.0], [40.0, 0.0, 9.0, 9.0]]


def found(caption: str, box: int = 0, image_sha256: str = "ab" * 32) -> dict[str, Any]:
    return {"image": "a.jpg", "image_sha256": image_sha256, "bbox": BOXES[box], "caption": caption}


def audited(first: list[str], again: list[str | None]) -> AuditedRow:
    return AuditedRow(1, "a.jpg", 64, 48, BOXES, first, again, again, first, image_sha256="ab" * 32)


def test_only_a_caption_that_follows_its_box_is_taken_out(tmp_path: Path) -> None:
    replaced, other_row = found("a bicycle"), found(BUS, image_sha256="cd" * 32)
    earlier = [found(BUS), found(DOG, 1), found(TREE, 2), replaced, other_row]
    (tmp_path / "photos.jsonl").touch()
    (tmp_path / "out.audit.json").write_text(json.dumps({"schema": 1, "inconsistent": earlier}))

    def kept(row: AuditedRow) -> list[str]:
        """The captions of earlier audits that are still in the file after one of this row."""
        config = config_of(tmp_path, captioner="openai", model="m", endpoint=["http://h/v1"])
        with closing(RunContext(config)) as context:
            record = record_of(AskedAgain([row], {}, []), measure([row], seed=0), Sample([], 1, 0), context)
        return [each["caption"] for each in record["earlier"]]

    assert kept(audited([BUS, DOG, TREE], [BUS, DOG, TREE])) == ["a bicycle", BUS]
    assert kept(audited([BUS, DOG, TREE], [BUS, DOG, None])) == [TREE, "a bicycle", BUS]  # no caption came
    assert kept(audited([BUS, DOG, TREE], [BUS, "I cannot help with that.", TREE])) == [DOG, "a bicycle", BUS]
    assert kept(audited([BUS, DOG, TREE], [DOG, BUS, TREE])) == ["a bicycle", BUS]  # found again
