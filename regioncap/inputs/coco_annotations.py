"""What the annotations of a COCO file have and lack, gathered while they are read, and said in words."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from regioncap.errors import UsageError
from regioncap.inputs.coco_boxes import has_box, is_box
from regioncap.records import Row
from regioncap.row_keys import MISSING, keys_in_words, paths_of, value_at
from regioncap.storage.filesystem import Place

logger = logging.getLogger("regioncap")

ANNOTATIONS_WITH_KEYS = 100
"""Annotations whose keys are offered in the place of a wrong one."""


class AnnotationKeys:
    """What the annotations of a file have: a file without any box is of another kind (captions, panoptic).

    `named`: keys that the user named, which some annotation must have. `hulls`: whether boxes are made of
    segmentations.
    """

    def __init__(self, named: Iterable[str], *, hulls: bool) -> None:
        self._count = self._boxed = self._unboxed = 0
        self._hulls = hulls
        self._keys: dict[str, None] = {}
        self._missing = list(named)

    def add(self, annotation: Row) -> None:
        """Look at one more."""
        boxed = has_box(annotation)
        self._boxed += boxed
        self._unboxed += not is_box(annotation.get("bbox")) and not (boxed and self._hulls)
        self._missing = [key for key in self._missing if value_at(annotation, key) is MISSING]
        if self._count < ANNOTATIONS_WITH_KEYS:
            self._keys |= dict.fromkeys(paths_of(annotation))
        self._count += 1

    def check(self, place: Place) -> None:
        """Log how many annotations have no box. Raise UsageError if there are some, but none has a box or a
        segmentation, or none a key that was named."""
        if self._keys and not self._boxed:
            raise UsageError(
                f"input: no annotation of {place.url} has a `bbox` or a `segmentation`; their keys: "
                f"{', '.join(self._keys)[:200]}. Name the file with the instances, or remove its list `annotations` "
                "and let regions be found: --empty-bbox find"
            )
        if self._keys and self._missing:
            known = keys_in_words(self._missing[0], self._keys)
            raise UsageError(f"region_fields: no annotation of {place.url} has the key {self._missing[0]!r}; {known}")
        if self._unboxed:
            logger.warning(
                "%s: %d of %d annotations have no `bbox`, nor a `segmentation` that gives one in pixels; "
                "dropped_bbox lists them as not_finite", place.url, self._unboxed, self._count,
            )  # fmt: skip
