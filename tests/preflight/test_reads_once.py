"""What a run reads before it starts: each thing once, whether the command or a Python call runs it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from regioncap.command.app import main
from tests.support.photos import write_photo
from tests.support.rows import BOX
from tests.support.runs import Run


class CountingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """fsspec's files in memory, with a count of how often each was read."""

    protocol = "counted"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    reads: ClassVar[Counter[str]] = Counter()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("counted://", "memory://")))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode == "rb":
            self.reads[path] += 1
        return super()._open(path, mode, **options)

    def cat_file(self, path: str, *args: Any, **options: Any) -> Any:
        self.reads[self._strip_protocol(path)] += 1
        return super().cat_file(path, *args, **options)


IMAGES = [f"photo{number}.png" for number in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CountingFileSystem]:
    """A store with an input of three photos with boxes."""
    fsspec.register_implementation("counted", CountingFileSystem, clobber=True)
    files: CountingFileSystem = fsspec.filesystem("counted", use_listings_cache=False)
    for number, name in enumerate(IMAGES):
        files.pipe_file(f"/{name}", write_photo(tmp_path / name, number).read_bytes())
    rows = [json.dumps({"image": name, "bbox": [BOX], "label": "a"}) for name in IMAGES]
    files.pipe_file("/photos.jsonl", "\n".join(rows).encode())
    files.reads.clear()
    yield files
    files.store.clear()


SETTINGS = {
    "input": "counted://photos.jsonl",
    "output": "counted://out.jsonl",
    "cache_path": "counted://cache",
    "captioner": "pixels",
}


def reads_of(store: CountingFileSystem) -> dict[str, int]:
    """How often the input and each image were read, since this was last asked; all traces of the run go."""
    reads = {name: store.reads[f"/{name}"] for name in ("photos.jsonl", *IMAGES)}
    for written in ("/cache", *store.glob("/out*")):
        store.rm(written, recursive=True)
    store.reads.clear()
    return reads


def test_checks_read_the_input_and_each_image_once(store: CountingFileSystem, run: Run, prefect_server: None) -> None:
    assert run(Path(), **SETTINGS, box_check=False).rows_out == 3
    unchecked = reads_of(store)
    assert run(Path(), **SETTINGS).rows_out == 3
    called = reads_of(store)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items() if name != "input"]
    with pytest.raises(SystemExit) as ended:
        main(["run", SETTINGS["input"], *flags, "--max-boxes=3"])
    assert ended.value.code == 0
    # The first rows are read in any case, for what their images may be.
    assert called == reads_of(store) == {name: count + (name in IMAGES) for name, count in unchecked.items()}
