"""Tars written for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

webdataset_leaves_files_open = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Members = Iterable[tuple[str, bytes]]


def tar_bytes(members: Members, mode: str = "w", format: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar that holds files of these names and contents."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=format, encoding="utf-8") as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def write_tar(path: Path, members: Members, mode: str = "w", format: int = tarfile.GNU_FORMAT) -> Path:
    """`tar_bytes`, in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_bytes(members, mode, format))
    return path
