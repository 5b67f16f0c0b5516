"""The file of an output's audit, `out.audit.json`: read for the report and for `--where`, written by the audit."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from regioncap.output.outputs import Outputs, outputs_at
from regioncap.records import Row, Step, dumps, loads
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import digest

SCHEMA = 1
"""Of the file: raised when a reader of the old one would misread the new one."""


def read_audit(output: Place) -> Row | None:
    """The audit of the output at `output`; None when there is none, or the file is damaged or of another kind."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        found = loads(outputs_at(output).audit.read())
        if isinstance(found, dict) and found.get("schema") == SCHEMA:
            return found
    return None


def write_audit(files: Outputs, audit: Row) -> Place:
    """Write the audit beside the output with these files; where it is."""
    files.audit.write(dumps({"schema": SCHEMA, **audit}) + b"\n")
    return files.audit


def answers_of_audit(output: Place) -> list[str]:
    """The keys of the answers that the audit of the output at `output` rests on."""
    return [str(key) for key in (read_audit(output) or {}).get("answers", ())]


def caption_key(image_sha256: str, box: Iterable[float], caption: str) -> str:
    """What identifies a caption of a box, whatever the row's name, number or place."""
    return digest({"image_sha256": image_sha256, "bbox": [float(value) for value in box], "caption": caption})


class InconsistentCaptions:
    """The captions that audits found to follow another box. One that is replaced is not among them any more."""

    def __init__(self, audit: Mapping[str, Any]) -> None:
        self._keys: defaultdict[str, set[str]] = defaultdict(set)
        """By the sha256 of their images."""
        self._of_shards: dict[str, str] = {}
        """What `key_of_shard` gave, by the sha256 of the shard's step."""
        for found in [*audit.get("inconsistent", ()), *audit.get("earlier", ())]:
            with contextlib.suppress(KeyError, TypeError, ValueError):  # a damaged entry marks nothing
                key = caption_key(found["image_sha256"], found["bbox"], found["caption"])
                self._keys[found["image_sha256"]].add(key)

    @classmethod
    def of(cls, output: Place) -> InconsistentCaptions:
        """Those of the output at `output`; none where it was not audited."""
        return cls(read_audit(output) or {})

    def boxes(self, image_sha256: str, bbox: Sequence[Sequence[float]], captions: Sequence[str]) -> list[int]:
        """The indices of a row's boxes that have such a caption."""
        keys = self._keys.get(image_sha256)
        if not keys:
            return []
        pairs = enumerate(zip(bbox, captions, strict=True))
        return [place for place, (box, text) in pairs if caption_key(image_sha256, box, text) in keys]

    def key_of_shard(self, drawn: Step, context: RunContext) -> str:
        """A digest of those of the images of a shard, given its step `visualize`; "" for none. Raises StepDamaged."""
        if not self._keys:
            return ""
        if drawn.data not in self._of_shards:
            images = {row["image_sha256"] for row in context.storage.read(drawn) if "reject" not in row}
            keys = sorted(key for image in images & self._keys.keys() for key in self._keys[image])
            self._of_shards[drawn.data] = digest({"inconsistent": keys}) if keys else ""
        return self._of_shards[drawn.data]


def inconsistent_in(context: RunContext) -> InconsistentCaptions:
    """Those of the run's output, as they were when the run first needed them."""
    if context not in _of_run:
        _of_run[context] = InconsistentCaptions.of(context.output)
    return _of_run[context]


_of_run: WeakKeyDictionary[RunContext, InconsistentCaptions] = WeakKeyDictionary()
