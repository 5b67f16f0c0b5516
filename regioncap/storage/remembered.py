"""What the latest finished run of an output knew of its step files, in one file: in an object store, a rerun asks for
that instead of six manifests a shard, and reads no rows to see whether their images are still the same.

`{name}.steps`, beside the output's entry in the register: a line of JSON for each shard, with its `manifests`, and with
its `images` where listings told all of them: the sha256 of the file of `load` and the pages that held for it. It is a
copy, and decides nothing alone: a manifest counts where a listing shows that it is still there, and its step file, and
no other of its key; else the manifest itself is read. On a disk there is no such file: looking costs little there.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from regioncap.errors import StorageError
from regioncap.records import Step, dumps, loads
from regioncap.storage.filesystem import Place
from regioncap.storage.listing import PageMark

MAX_PAGES = 16
"""Pages remembered of a shard: images that lie scattered over more are compared one by one."""

Pages = frozenset[PageMark]

logger = logging.getLogger("regioncap")


class RememberedSteps:
    """The manifests and pages of one file, and what a run adds to them. For any thread.

    `place`: None where nothing is remembered. `images`: digest of what decides which images rows mean; pages that were
    remembered under another do not count.
    """

    def __init__(self, place: Place | None = None, images: str = "") -> None:
        self._place = place
        self._images = images
        self._lock = threading.Lock()
        self._manifests: dict[str, bytes] = {}
        self._pages_of_input: dict[str, Pages] = {}
        self._pages_of_load: dict[str, Pages] = {}

    def manifest(self, key: str) -> dict[str, Any] | None:
        """The fields of the manifest with this key; None where it is not remembered."""
        self._read()
        found = self._manifests.get(key)
        return dict(loads(found)) if found is not None else None

    def keep(self, key: str, manifest: dict[str, Any]) -> None:
        """Remember the manifest of a step that is finished."""
        if self._place is not None:
            self._read()  # what it says is older
            self._manifests[key] = dumps(manifest)

    def forget(self, key: str) -> None:
        """Remember no manifest with this key."""
        self._read()
        self._manifests.pop(key, None)

    def pages(self, load: str) -> Pages | None:
        """The pages that told of the images of a file of `load`, by its sha256; None where they are not remembered."""
        self._read()
        return self._pages_of_load.get(load)

    def keep_pages(self, of_input: str, pages: Pages | None) -> None:
        """Remember the pages that tell of the images of a shard, by the sha256 of its input, as its file of `load` has
        them; None: not only listings do."""
        if self._place is not None and pages is not None and len(pages) <= MAX_PAGES:
            self._pages_of_input[of_input] = pages
        else:
            self._pages_of_input.pop(of_input, None)

    def write(self, shards: Iterable[Sequence[Step]]) -> None:
        """Store what is known of the steps of these shards, for the next run, which does without where that fails."""
        if self._place is None:
            return
        self._read()
        text = b"".join(self._line(steps) + b"\n" for steps in shards)
        if text != self._text:
            try:
                self._place.write(text)
            except StorageError as error:
                logger.warning("%s; the next run of this output looks each step up", error)

    def _line(self, steps: Sequence[Step]) -> bytes:
        known = [(step, self._manifests[step.key]) for step in steps if step.key in self._manifests]
        # Another process may have made a step again since this one read its manifest.
        manifests = [found for step, text in known if (found := loads(text))["sha256"] == step.data]
        pages = self._pages_of_input.get(steps[0].data)
        images = {"of": self._images, "load": steps[1].data, "pages": sorted(pages)} if pages is not None else None
        return dumps({"manifests": manifests, "images": images})

    def _read(self) -> None:
        with self._lock:
            _ = self._text

    @cached_property
    def _text(self) -> bytes:
        """The file as it was, which is taken in when it is first asked for."""
        text = b""
        if self._place is not None:
            with contextlib.suppress(FileNotFoundError, StorageError):  # each step is looked up then
                text = self._place.read()
        for line in text.splitlines():
            with contextlib.suppress(Exception):  # a damaged line is a shard not remembered
                self._take(loads(line))
        return text

    def _take(self, shard: dict[str, Any]) -> None:
        self._manifests.update({manifest["key"]: dumps(manifest) for manifest in shard["manifests"]})
        images = shard["images"]
        if images is not None and images["of"] == self._images:
            self._pages_of_load[images["load"]] = frozenset(PageMark(*map(str, page)) for page in images["pages"])
