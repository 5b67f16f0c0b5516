"""What is installed is what the flow needs: the wheel holds both packages, and both entrypoint spellings work."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import ROOT


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the project's own build backend, unpacked into an empty folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build as b; print(b.build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def python(code: str, site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` where only the unpacked wheel can be `flows` and `tasks`."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_the_wheel_holds_every_module(unpacked: Path) -> None:
    sources = {path.relative_to(ROOT) for name in ("flows", "tasks") for path in (ROOT / name).rglob("*.*")}
    packed = {path.relative_to(unpacked) for name in ("flows", "tasks") for path in (unpacked / name).rglob("*.*")}
    assert {path.as_posix() for path in packed} == {path.as_posix() for path in sources if path.suffix != ".pyc"}
    assert {path.suffix for path in packed} == {".py", ".j2", ".css", ".js"}


def test_the_wheel_has_command_and_licence(unpacked: Path) -> None:
    (info,) = unpacked.glob("*.dist-info")
    assert "regioncap = regioncap.command.app:main" in (info / "entry_points.txt").read_text()
    assert (info / "licenses" / "LICENSE").is_file()


ENTRYPOINTS = ["flows/region_caption.py:region_caption", "regioncap.flows.region_caption.region_caption"]


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_both_entrypoint_spellings_load_the_flow(unpacked: Path, entrypoint: str) -> None:
    code = f"from prefect.flows import load_flow_from_entrypoint as load; print(load({entrypoint!r}).name)"
    done = python(code, unpacked, cwd=unpacked)
    assert done.stdout.strip() == "region-caption", done.stderr


def test_the_command_starts_without_prefect(unpacked: Path, tmp_path: Path) -> None:
    code = "import sys, regioncap.command.app; print('prefect' in sys.modules, regioncap.command.app.__file__)"
    loaded, file = python(code, unpacked, cwd=tmp_path).stdout.split()
    assert (loaded, Path(file).is_relative_to(unpacked)) == ("False", True)


def test_the_flow_checks_its_parameters() -> None:
    from regioncap.flows.region_caption import region_caption

    schema = region_caption.parameters.model_dump()
    assert schema["required"] == ["config"]
    fields = schema["definitions"]["RegionCapConfig"]["properties"]
    assert fields["max_boxes"]["title"] == "Regions per picture"
    assert set(fields["extractor"]["enum"]) == {"edges", "canny", "adaptive"}
