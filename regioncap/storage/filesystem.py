"""Files on disk, in memory and in object stores, through fsspec: one way to read, one way to write.

Readers see a whole file or none: on disk a temporary file is renamed, to an object store a complete file is uploaded
in one request (fsspec's own `close()` publishes half-written files). Foreign errors become `StorageError` here and
nowhere else; a missing file stays the builtin `FileNotFoundError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from fsspec.core import strip_protocol
from fsspec.implementations.local import LocalFileSystem

from regioncap.errors import StorageError
from regioncap.storage.atomic_write import renamed_into_place
from regioncap.storage.file_info import changed_at, version_in
from regioncap.storage.finding import FoundFiles, find_in_store, find_matches, find_on_disk
from regioncap.storage.items import Item, items_on_disk
from regioncap.storage.opening import LOCAL_FS, FilesystemOpener
from regioncap.storage.ranges import RangeFile
from regioncap.storage.storage_errors import reason_of, translated
from regioncap.storage.temporary import temporary_file
from regioncap.storage.urls import GLOB_CHARS, glob_prefix, redact_url, without_query

T = TypeVar("T")

SINGLE_PUT_BYTES = 64_000_000
"""Up to this size an object is uploaded from memory in a single PUT."""

PARTS_OF_S3 = {"chunksize": 16 << 20, "max_concurrency": 4}
"""How larger ones go to S3: s3fs itself would have ten parts of 50 MiB in memory at once."""


class Filesystems(FilesystemOpener):
    """Files and folders on the filesystems that a run opens; see `FilesystemOpener`."""

    def place(self, address: str) -> Place:
        """The file or folder at `address`, a path or URL."""
        return Place(address, self)


DEFAULT_FILESYSTEMS = Filesystems()
"""Filesystems configured by the environment alone."""


@dataclass(frozen=True)
class Place:
    """One file or folder, by path or fsspec URL.

    Raises StorageError from every method when the place cannot be reached; FileNotFoundError where said.
    """

    address: str
    files: Filesystems = field(default=DEFAULT_FILESYSTEMS, repr=False, compare=False)

    @property
    def url(self) -> str:
        """The address without secrets, for messages."""
        return redact_url(self.address)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return PurePosixPath(self._path).name

    @property
    def file_name(self) -> str:
        """Last part of the address, as files are named: `a #1.jpg`; of a web address without its query."""
        return PurePosixPath(without_query(self.address)).name

    @property
    def parent(self) -> Place:
        """The folder that contains this place."""
        head, _, _ = self.address.rstrip("/").rpartition("/")
        if head.endswith(":/"):  # memory://name: the root of that filesystem
            return self.files.place(f"{head}/")
        return self.files.place(head or ("/" if self.address.startswith("/") else "."))

    def child(self, *names: str) -> Place:
        """A place below this one."""
        return self.files.place("/".join([self.address.removesuffix("/"), *names]))

    def relative_to(self, root: str) -> str:
        """The path of this place below the folder at address `root`, with slashes."""
        path, start = str(strip_protocol(self.address)), str(strip_protocol(root)).rstrip("/")
        return path.removeprefix(f"{start}/")

    @cached_property
    def _located(self) -> tuple[Any, str]:
        with self._translated("open"):
            return self.files.open(self.address)

    @property
    def _fs(self) -> Any:
        return self._located[0]

    @property
    def _path(self) -> str:
        return self._located[1]

    @cached_property
    def is_local(self) -> bool:
        """Whether this place is on a local disk."""
        return isinstance(self._fs, LocalFileSystem)

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(self.address, doing)

    # --- reading

    def read(self) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        with self._translated("read"):
            return Path(self._path).read_bytes() if self.is_local else bytes(self._fs.cat_file(self._path))

    def open(self) -> IO[bytes]:
        """The file opened for reading, bytes. Raises FileNotFoundError."""
        with self._translated("read"):
            opened: IO[bytes] = self._fs.open(self._path, "rb")
            return opened

    def read_range(self, start: int, end: int) -> bytes:
        """The file's bytes from `start` up to `end`; fewer where it ends. Raises FileNotFoundError."""
        with self._translated("read"):
            return self.files.read_range(self.address, start, end)

    def version(self) -> list[Any] | None:
        """What changes when the file does, as JSON: see `version_in`. None where that is not known."""
        with self._translated("stat"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if self.is_local:
                file = Path(self._path).stat()
                return [file.st_size, file.st_mtime_ns]
            return version_in(self._fs.info(self._path))
        return None

    def open_exact(self) -> IO[bytes] | RangeFile:
        """As `open`, for reading parts: no more is requested than is read. Raises FileNotFoundError."""
        size = None if self.is_local else self.size()
        if size is None:
            return self.open()
        return RangeFile(partial(self.files.read_range, self.address), size)

    def size(self) -> int | None:
        """The file's size in bytes; None when there is no such file."""
        with self._translated("stat"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if self.is_local:
                return Path(self._path).stat().st_size
            size = self._fs.info(self._path)["size"]
            return int(size) if size is not None else None
        return None

    def changed_at(self) -> float | None:
        """When the file was changed, in seconds since 1970 by its filesystem's clock; None when there is no such
        file."""
        with self._translated("stat"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return Path(self._path).stat().st_mtime if self.is_local else changed_at(self._fs.info(self._path))
        return None

    def exists(self) -> bool:
        """Whether there is a file or folder here."""
        with self._translated("stat"):
            return bool(self._fs.exists(self._path))

    def is_folder(self) -> bool:
        """Whether there is a folder here (in an object store: whether any object is below)."""
        with self._translated("stat"):
            return bool(self._fs.isdir(self._path))

    def names(self) -> list[str]:
        """Names of the files and folders directly below, sorted; [] when there is no such folder."""
        with self._translated("list"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(PurePosixPath(path).name for path in self._fs.ls(self._path, detail=False))
        return []

    def listed(self) -> list[Found]:
        """The files directly below with size and time, by one listing; none when there is no such folder."""
        with self._translated("list"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = self._fs.ls(self._path, detail=True)
            return [
                Found(self.child(PurePosixPath(item["name"]).name), item["size"], changed_at(item))
                for item in found
                if item["type"] == "file"
            ]
        return []

    def items(self) -> Iterator[Item]:
        """All that lies directly below, by one listing; nothing when there is no such folder. On disk it comes one at a
        time: a folder may hold millions."""
        with self._translated("list"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if self.is_local:
                yield from items_on_disk(self._path)
                return
            for item in self._fs.ls(self._path, detail=True):
                if name := PurePosixPath(item["name"]).name:
                    yield Item(name, item["type"], int(item["size"] or 0), changed_at(item))

    def sizes(self) -> dict[str, int]:
        """Names and sizes in bytes of the files directly below; see `listed`."""
        return {file.place.name: file.size for file in self.listed()}

    # --- writing

    def write(self, data: bytes, *, durable: bool = True) -> None:
        """Write the whole file at once. `durable=False` skips the fsync, for what can be reproduced."""
        with self._translated("write"):
            if self.is_local:
                with renamed_into_place(Path(self._path), durable) as file:
                    file.write(data)
            else:
                self._fs.pipe_file(self._path, data)

    @contextlib.contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        """A file to write to piece by piece. It appears here when the block succeeds, and not at all otherwise."""
        if self.is_local:
            try:
                with renamed_into_place(Path(self._path), durable=True) as file:
                    yield file
            except OSError as error:  # only these: the block's own errors are not the disk's
                raise StorageError(self.url, "write", reason_of(error)) from error
            return
        # Spooled to disk first: not every filesystem can abort an upload (memory:// shows half-written files).
        with temporary_file("upload") as file:
            yield file
            with self._translated("write"):
                size = file.tell()
                file.flush()
                file.seek(0)
                if size <= SINGLE_PUT_BYTES:
                    self._fs.pipe_file(self._path, file.read())
                else:
                    self._fs.put_file(file.name, self._path, **(PARTS_OF_S3 if "s3" in self._protocols else {}))

    def append(self, data: bytes) -> None:
        """Append to the file, creating it if needed. Object stores cannot append: there it is rewritten."""
        with self._translated("write"):
            if self.is_local:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
                with Path(self._path).open("ab") as file:
                    file.write(data)
                return
        before = self.read() if self.size() is not None else b""
        self.write(before + data)

    def make_folder(self) -> None:
        """Make a folder here, if there is none; a store has none that are empty."""
        if self.is_local:
            with self._translated("write"):
                Path(self._path).mkdir(parents=True, exist_ok=True)

    def create(self, data: bytes) -> bool:
        """Write the whole file where there is none; False when there is one. No filesystem is sure to keep to it."""
        with self._translated("write"), contextlib.suppress(FileExistsError):
            if self.is_local:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
                with Path(self._path).open("xb") as file:
                    file.write(data)
            else:
                self._fs.pipe_file(self._path, data, mode="create")
            return True
        return False

    def move_to(self, target: Place) -> None:
        """Give the file the address `target`, in the same store, replacing any file there."""
        with self._translated("write"):
            if self.is_local:
                Path(self._path).replace(target._path)
            else:
                self._fs.mv(self._path, target._path)

    def remove(self) -> None:
        """Remove the file, if there is one."""
        with self._translated("remove"), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path)

    def call_s3(self, call: Callable[[Any, str, str], T], doing: str = "write") -> T | None:
        """`call(filesystem, bucket, key)` where this place is on S3; None elsewhere."""
        if "s3" not in self._protocols:
            return None
        with self._translated(doing):
            bucket, key, _ = self._fs.split_path(self._path)
            return call(self._fs, bucket, key)

    @property
    def _protocols(self) -> tuple[str, ...]:
        protocol = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    # --- many files

    def is_glob(self) -> bool:
        """Whether this is a pattern for names; `photos [2024]` is none where there is a folder of that name."""
        return bool(GLOB_CHARS & set(without_query(self.address))) and not self.exists()

    @property
    def fixed_part(self) -> Place:
        """The folder of a glob before its first wildcard: `a` for `a/b*/c.jpg`."""
        address = without_query(self.address)
        before = address[: min(address.index(sign) for sign in GLOB_CHARS if sign in address)]
        return self.files.place(f"{before}x").parent

    def find(self) -> FoundFiles:
        """All files below this folder, or matching this address as a glob; see `regioncap.storage.finding`."""
        with self._translated("list"):
            if self.is_glob():
                return find_matches(self._fs, self._path, glob_prefix(self._path), self.is_local)
            return find_on_disk(self._path) if self.is_local else find_in_store(self._fs, self._path)


@dataclass(frozen=True)
class Found:
    """A file of a listing. `size`: bytes. `changed_at`: seconds since 1970; now where the listing does not say."""

    place: Place
    size: int
    changed_at: float


def path_of(place: Place) -> str:
    """The absolute path of a place on disk."""
    return str(LOCAL_FS._strip_protocol(place.address))
