"""The file of an output's audit, `out.audit.json`: read for the report and for `--where`, written by the audit."""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from regioncap.output.outputs import INCOMPLETE, FileOutputs, Outputs, is_parts_folder, outputs_at
from regioncap.records import Row, Step, dumps, loads
from regioncap.run.context import RunContext
from regioncap.storage.filesystem import Place
from regioncap.storage.steps import digest

SCHEMA = 1
"""Of the file: raised when a reader of the old one would misread the new one."""

logger = logging.getLogger("regioncap")


def read_audit(output: Place, *, incomplete: bool = False) -> Row | None:
    """The audit of the output at `output`, or of the incomplete run beside it; None when there is none, or the file is
    damaged or of another kind, which is logged."""
    place = (FileOutputs(output, INCOMPLETE) if incomplete else outputs_at(output)).audit
    try:
        text = place.read()
    except FileNotFoundError:
        return None
    with contextlib.suppress(ValueError):
        found = loads(text)
        if isinstance(found, dict) and found.get("schema") == SCHEMA:
            return found
    logger.warning("%s is damaged, or of another version: what it found is not known. Rerun regioncap audit", place.url)
    return None


def write_audit(files: Outputs, audit: Row) -> Place:
    """Write the audit beside the output with these files; where it is. Of a complete run it takes the place of the
    incomplete one's, whose findings are among its earlier ones."""
    files.audit.write(dumps({"schema": SCHEMA, **audit}) + b"\n")
    if isinstance(files, FileOutputs) and not files.variant:
        FileOutputs(files.output, INCOMPLETE).audit.remove()
    return files.audit


def _audits(output: Place) -> Iterator[Row]:
    """The audits of the output at `output`: that of the complete run, and that of the incomplete one beside it."""
    for incomplete in (False,) if is_parts_folder(output.address) else (False, True):
        if found := read_audit(output, incomplete=incomplete):
            yield found


def answers_of_audits(output: Place) -> list[str]:
    """The keys of the answers that the audits of the output at `output` rest on."""
    return [str(key) for audit in _audits(output) for key in _list(audit, "answers")]


def found_inconsistent(output: Place) -> Iterator[dict[str, Any]]:
    """What the audits of the output at `output` found: entries with `image_sha256`, `bbox` and `caption`. Damaged ones
    are left out."""
    for audit in _audits(output):
        for found in [*_list(audit, "inconsistent"), *_list(audit, "earlier")]:
            with contextlib.suppress(KeyError, TypeError, ValueError):
                key = caption_key(str(found["image_sha256"]), found["bbox"], found["caption"])
                yield {"key": key, **{name: found.get(name) for name in ("image", "image_sha256", "bbox", "caption")}}


def _list(audit: Row, name: str) -> list[Any]:
    found = audit.get(name)
    return found if isinstance(found, list) else []


def caption_key(image_sha256: str, box: Iterable[float], caption: str) -> str:
    """What identifies a caption of a box, whatever the row's name, number or place."""
    return digest({"image_sha256": image_sha256, "bbox": [float(value) for value in box], "caption": caption})


class InconsistentCaptions:
    """The captions that audits found to follow another box. One that is replaced is not among them any more."""

    def __init__(self, found: Iterable[Mapping[str, Any]] = ()) -> None:
        self._keys: defaultdict[str, set[str]] = defaultdict(set)
        """By the sha256 of their images."""
        self._of_shards: dict[str, str] = {}
        """What `key_of_shard` gave, by the sha256 of the shard's step."""
        for each in found:
            self._keys[str(each["image_sha256"])].add(each["key"])

    @classmethod
    def of(cls, output: Place) -> InconsistentCaptions:
        """Those of the output at `output`; none where it was not audited."""
        return cls(found_inconsistent(output))

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
    return context.once(_of_output)


def _of_output(context: RunContext) -> InconsistentCaptions:
    return InconsistentCaptions.of(context.output)
