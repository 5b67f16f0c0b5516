"""Everything that builds RegionCap builds the same wheel, and it holds every file of the package."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import build
from tests.support.commands import ROOT

LINKED = ("flows", "tasks")
NEEDED = ("regioncap", *LINKED, "pyproject.toml", "README.md", "LICENSE")


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def package_files() -> set[str]:
    """The files of `regioncap`, by their names in the wheel: the links are followed."""
    files = [path for path in (ROOT / "regioncap").iterdir() if path.is_file()]
    for folder in (path for path in (ROOT / "regioncap").iterdir() if path.is_dir()):
        files += [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_has_every_file_of_the_package_and_nothing_beside_it(wheel: Path) -> None:
    packed = {name for name in content(wheel) if ".dist-info/" not in name}
    assert packed == package_files()
    assert {Path(name).suffix for name in packed} >= {".py", ".j2", ".css", ".js"}
    assert {"regioncap/flows/region_caption.py", "regioncap/tasks/shard.py"} <= packed


def test_the_wheel_has_command_and_licence(wheel: Path) -> None:
    info = {Path(name).name: data for name, data in content(wheel).items() if ".dist-info/" in name}
    assert b"regioncap = regioncap.command:main" in info["entry_points.txt"]
    assert "LICENSE" in info


def copy(names: tuple[str, ...], folder: Path) -> Path:
    """A copy of what a build needs, with the links as links."""
    for name in names:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def with_links_as_text(folder: Path) -> Path:
    """As git writes them with `core.symlinks=false`, which is what it does on Windows."""
    copy(NEEDED, folder)
    for name in LINKED:
        link = folder / "regioncap" / name
        target = link.readlink()
        link.unlink()
        link.write_text(str(target))
    return folder


def unpacked_sdist(folder: Path) -> Path:
    with tarfile.open(build("sdist", ROOT, folder)) as archive:
        archive.extractall(folder, filter="data")
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    return source


def docker_context(folder: Path) -> Path:
    """What .dockerignore lets in: everything is left out, and some names are let in again."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    return copy(tuple(rule[1:] for rule in rules if rule.startswith("!")), folder)


SOURCES: dict[str, Callable[[Path], Path]] = {
    "links as text files": with_links_as_text, "sdist": unpacked_sdist, "Docker's build context": docker_context,
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_wheel_is_built_from_elsewhere(wheel: Path, tmp_path: Path, source: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "wheel").mkdir()
    built = build("wheel", SOURCES[source](tmp_path / "source"), tmp_path / "wheel")
    assert content(built) == content(wheel)


def test_the_sdist_has_what_the_repository_has(tmp_path: Path) -> None:
    source = unpacked_sdist(tmp_path)
    assert {path.name for path in source.iterdir()} >= {*NEEDED, "Makefile", "tests", "deployments", "docs", "examples"}
    assert not (source / "site").exists()
    assert (source / "tests" / "packaging" / "test_wheel.py").is_file()
    assert not any(path.is_symlink() for path in source.rglob("*"))


def test_an_editable_install_is_a_path_and_copies_nothing(tmp_path: Path) -> None:
    editable = content(build("editable", ROOT, tmp_path))
    installed = {name: data for name, data in editable.items() if ".dist-info/" not in name}
    assert installed == {"_regioncap.pth": str(ROOT).encode()}
