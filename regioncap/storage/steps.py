"""Step files and their manifests, safe to rerun.

Step k reads what step k-1 wrote; step 0 is the input's rows. A step file is immutable and named after the key of the
work that produced it. Its manifest names it and is the only file that is ever replaced. The folder
`{cache_path}/{file_name_prefix}_step{k}/` holds `{key}-{sha8}.jsonl` and `{key}.json`. File names carry no shard
number: a row inserted at the top renumbers every later shard, and that must not invalidate their work.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from regioncap.errors import RegionCapError
from regioncap.records import Row, Step, count_rejects, dumps, dumps_sorted, loads, read_lines, to_lines
from regioncap.row_work import guarded
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Filesystems, Place
from regioncap.storage.remembered import RememberedSteps
from regioncap.storage.step_files import StepFiles

SCHEMA = 1
STEP_NAMES = ("input", "load", "route", "extract", "normalize", "visualize", "caption")


class StepDamaged(RegionCapError):
    """A step file does not match its manifest. The manifest has been removed, so the step runs again."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"{self.url} is damaged or missing; the step that made it runs again"


@dataclass(frozen=True)
class Manifest:
    """The description of one step file; docs/cache.md explains what its key is made of."""

    schema: int
    step: str
    step_version: str
    key: str
    key_parts: dict[str, Any]
    input_sha256: str
    data: str
    rows: int
    rejects: int
    retryable: int
    bytes: int
    sha256: str
    seconds: float
    created_at: str
    versions: dict[str, str] = field(default_factory=dict)

    def reference(self, shard: int) -> Step:
        """The reference to this file that tasks pass on; `shard` is the shard's number in this run."""
        return Step(STEP_NAMES.index(self.step), shard, self.key, self.sha256, self.rows, self.rejects)


def key_parts(step: str, step_version: str, fields: dict[str, Any], input_sha256: str) -> dict[str, Any]:
    """Everything that decides a step's output; its `digest` is the step's key."""
    return {"step": step, "step_version": step_version, "fields": fields, "input_sha256": input_sha256}


def digest(parts: Any) -> str:
    """32 hex digits of the sha256 of `parts` as canonical JSON (sorted keys)."""
    return hashlib.sha256(dumps_sorted(parts)).hexdigest()[:32]


@dataclass(frozen=True)
class StepStorage:
    """The step files of one cache folder, seen from step `index`.

    >>> storage = StepStorage("./.regioncap", "regioncap")
    >>> storage.at(2).folder_name
    'regioncap_step2'
    """

    cache_path: str
    file_name_prefix: str
    index: int = 0
    files: Filesystems = field(default=DEFAULT_FILESYSTEMS, repr=False, compare=False)
    remembered: RememberedSteps = field(default_factory=RememberedSteps, repr=False, compare=False)
    _files: StepFiles = field(default_factory=StepFiles, repr=False, compare=False)

    def at(self, index: int) -> StepStorage:
        """The storage as step `index` sees it."""
        return replace(self, index=index)

    @property
    def folder_name(self) -> str:
        """Name of this step's folder inside the cache."""
        return f"{self.file_name_prefix}_step{self.index}"

    @property
    def folder(self) -> Place:
        """This step's folder."""
        return _place(self.files, self.cache_path).child(self.folder_name)

    # --- the input's rows

    def put_input(self, text: bytes, shard: int, rows: int) -> Step:
        """Store a shard's rows as step 0 and return the reference to them. `text`: see `regioncap.tasks.load`."""
        sha256 = hashlib.sha256(text).hexdigest()
        step = Step(0, shard, sha256[:32], sha256, rows, 0)
        _write_unless_there(self.at(0)._data_place(step.key, sha256), text)
        return step

    # --- manifests

    def find(self, key: str) -> Manifest | None:
        """The manifest of finished work with this key. None: it is missing, has rows to retry, or its file is gone."""
        remembered = _manifest_of(self.remembered.manifest(key))
        if remembered is not None and self._is_as_stored(remembered):
            return remembered
        stored = self.manifest(key)
        if stored is None or stored.retryable or not self._files.has(self.folder, key, stored.data, stored.bytes):
            return None
        self.remembered.keep(key, _without_reasons(stored))
        return stored

    def _is_as_stored(self, remembered: Manifest) -> bool:
        """Whether a listing shows that the manifest need not be read: it is there, and its step file, and no other."""
        files = {self._manifest_place(remembered.key).name, remembered.data}
        found = self._files.of_key(self.folder, remembered.key)
        return found is not None and found.keys() == files and found[remembered.data] == remembered.bytes

    def manifest(self, key: str) -> Manifest | None:
        """The manifest with this key, finished or not; None when it is missing or cannot be read."""
        try:
            return _manifest_of(loads(self._manifest_place(key).read()))
        except (FileNotFoundError, ValueError):
            return None

    def forget(self, key: str) -> None:
        """Remove the manifest, so that the step runs again."""
        self.remembered.forget(key)
        self._manifest_place(key).remove()

    # --- data

    def read_bytes(self, step: Step) -> bytes:
        """The bytes of the file that `step` refers to (any step). Raises StepDamaged, after forgetting it."""
        storage = self.at(step.index)
        place = storage._data_place(step.key, step.data)
        try:
            data = place.read()
        except FileNotFoundError:
            data = None
        if data is None or hashlib.sha256(data).hexdigest() != step.data:
            storage.forget(step.key)
            place.remove()  # else the rerun, which produces the same name and size, would take it for its own
            raise StepDamaged(place.url)
        return data

    def read(self, step: Step) -> list[Row]:
        """The rows of the file that `step` refers to. Raises StepDamaged as `read_bytes` does."""
        return list(read_lines(self.read_bytes(step)))

    def write(self, parts: dict[str, Any], rows: list[Row], seconds: float) -> Manifest:
        """Store `rows` as this step's file for the work that `parts` (see `key_parts`) describe."""
        rows, data = _to_lines(parts["step"], rows)
        key, sha256 = digest(parts), hashlib.sha256(data).hexdigest()
        rejects, retryable = count_rejects(rows, parts["step"])
        place = self._data_place(key, sha256)
        _write_unless_there(place, data)
        manifest = Manifest(
            schema=SCHEMA, step=parts["step"], step_version=parts["step_version"], key=key, key_parts=parts,
            input_sha256=parts["input_sha256"], data=place.name, rows=len(rows), rejects=rejects,
            retryable=retryable, bytes=len(data), sha256=sha256, seconds=round(seconds, 3),
            created_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), versions=library_versions(),
        )  # fmt: skip
        self._manifest_place(key).write(dumps(asdict(manifest)) + b"\n")
        if retryable:
            self.remembered.forget(key)
        else:
            self.remembered.keep(key, _without_reasons(manifest))
        return manifest

    def _data_place(self, key: str, sha256: str) -> Place:
        return self.folder.child(f"{key}-{sha256[:8]}.jsonl")

    def _manifest_place(self, key: str) -> Place:
        return self.folder.child(f"{key}.json")


def _manifest_of(values: Any) -> Manifest | None:
    """The manifest with these fields, as JSON has them; None where they are not those of one."""
    try:
        found = Manifest(**values)
    except TypeError:
        return None
    return found if found.schema == SCHEMA else None


def _without_reasons(manifest: Manifest) -> dict[str, Any]:
    """A manifest's fields, without what only people read: nearly all of its length."""
    return asdict(replace(manifest, key_parts={}, versions={}))


def _write_unless_there(place: Place, data: bytes) -> None:
    """Write a file whose name tells its content. In a store, looking for it costs more requests than writing it."""
    if not place.is_local or place.size() != len(data):
        place.write(data)


def _to_lines(step: str, rows: list[Row]) -> tuple[list[Row], bytes]:
    """The rows and their lines; what cannot be written of them becomes a reject of `step`."""
    try:
        return rows, to_lines(rows)
    except Exception:
        rows = [guarded(step, _writable, row) for row in rows]
        return rows, to_lines(rows)


def _writable(row: Row) -> Row:
    dumps(row)
    return row


@cache
def _place(files: Filesystems, url: str) -> Place:
    return files.place(url)


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide a step's bytes, for manifests and summaries."""
    found = {"python": platform.python_version()}
    for name in ("regioncap", "prefect", "opencv-python-headless", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
