"""Plugins of a user's, as modules of a project or as installed packages with entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_package(folder: Path, name: str, **modules: str) -> Path:
    """A package `name` in `folder` with a module for each keyword."""
    package = folder / name
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    for module, text in modules.items():
        (package / f"{module}.py").write_text(text)
    return package


def install(folder: Path, distribution: str, version: str, **entries: dict[str, str]) -> None:
    """Make `folder`, which is in `sys.path`, look as if `distribution` were installed there. `entries`: by group
    (`extractors`), entry points by name."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = [
        line
        for group, named in entries.items()
        for line in (f"[regioncap.{group}]", *(f"{name} = {value}" for name, value in named.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@contextmanager
def importable(folder: Path, *packages: str) -> Iterator[None]:
    """In this block modules of `folder` can be imported; afterwards those of `packages` are forgotten."""
    before = [*sys.path]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            del sys.modules[name]
