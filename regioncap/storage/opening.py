"""The fsspec filesystem of an address, opened with a run's options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsspec import get_filesystem_class
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

LOCAL_FS = LocalFileSystem()

CONNECTIONS = 64
"""At most, to an S3 at once: as many as there are threads that read and write. botocore's default is 10."""


class FilesystemOpener:
    """Opens fsspec filesystems. `options`: fsspec's storage options by protocol. They may hold secrets, so nothing ever
    prints them."""

    def __init__(self, options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._options = dict(options or {})
        self._hub_is_fresh = False

    def options(self, protocol: str) -> dict[str, Any]:
        """fsspec's options for a protocol."""
        return dict(self._options.get(protocol, {}))

    def open(self, address: str) -> tuple[Any, str]:
        """The fsspec filesystem of `address`, and the path on it. Raises ImportError, ValueError."""
        protocol = address.partition("://")[0] if "://" in address else "file"
        options = self.options(protocol)
        if protocol == "file" and not options and "::" not in address and not address.startswith("data:"):
            return LOCAL_FS, str(LOCAL_FS._strip_protocol(address))  # ten times as fast as fsspec's url_to_fs
        if "::" in address:
            options = dict(self._options)  # a chain of protocols takes its options by protocol name
        elif protocol in ("s3", "s3a"):
            options.setdefault("max_concurrency", 1)  # else every read requests the size first
        # No listings cache: it would hide what another process has written since.
        try:
            if protocol in ("s3", "s3a") and "::" not in address and (direct := _direct_s3(protocol)) is not None:
                options = {**direct._get_kwargs_from_urls(address), **options, "use_listings_cache": False}
                options["config_kwargs"] = {"max_pool_connections": CONNECTIONS, **options.get("config_kwargs", {})}
                return direct(**options), str(direct._strip_protocol(address))
            fs, path = url_to_fs(address, **options, use_listings_cache=False)
        except ImportError as error:
            hint = ": pip install 'regioncap[hf]'" if "hf://" in address else ""
            raise ImportError(f"{error}{hint}") from None
        if protocol == "hf" and not self._hub_is_fresh:
            self._hub_is_fresh = True
            fs.invalidate_cache()  # it has a cache that the option does not switch off: earlier runs filled it
        return fs, str(path)

    def read_range(self, address: str, start: int, end: int) -> bytes:
        """A file's bytes from `start` up to `end`; fewer where it ends. Raises what the filesystem raises."""
        fs, path = self.open(address)
        if fs is LOCAL_FS:
            with Path(path).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        data = part_of(fs, path, start, end)
        if len(data) > end - start:
            raise OSError("its server sends whole files only; put simplecache:: before the URL")
        return data


def _direct_s3(protocol: str) -> Any:
    """The filesystem that takes the place of s3fs's; None where another was registered for S3. Raises ImportError."""
    import s3fs  # late, since most runs have no S3

    if get_filesystem_class(protocol) is not s3fs.S3FileSystem:
        return None
    try:
        from regioncap.storage.direct_s3 import DirectS3FileSystem
    except (ImportError, AttributeError):  # another aiobotocore than those that it knows
        return None
    return DirectS3FileSystem


def part_of(fs: Any, path: str, start: int, end: int) -> bytes:
    """The bytes of a file from `start` up to `end`, with nothing ahead of them."""
    if getattr(fs.cat_file, "__func__", None) is not AbstractFileSystem.cat_file:
        return bytes(fs.cat_file(path, start=start, end=end))
    with fs.open(path, "rb", cache_type="none") as file:  # fsspec's own `cat_file` would read megabytes ahead
        file.seek(start)
        return bytes(file.read(end - start))
