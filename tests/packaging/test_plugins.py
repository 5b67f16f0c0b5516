"""The installed wheel with plugins: by path in a scratch project, and by entry point on Dask."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import build
from tests.support.commands import environment
from tests.support.own_plugins import CAPTIONERS, FINDERS, IN_PROJECT, OPTIONS, check_rows, write_project
from tests.support.plugins import write_package
from tests.support.processes import end_with_us
from tests.support.waiting import until

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "corner-finder"
version = "1.5"

[project.entry-points."regioncap.extractors"]
corner = "corner_finder.finders:corner"

[project.entry-points."regioncap.captioners"]
where = "corner_finder.captioners:where"
"""


def outside() -> dict[str, str]:
    """The environment of the tests' Prefect server, without this checkout."""
    return {name: value for name, value in environment().items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def with_package(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The environment of the wheel with a package of a user's in it, too, which has entry points."""
    source = tmp_path_factory.mktemp("corner-finder")
    (source / "pyproject.toml").write_text(PYPROJECT)
    write_package(source, "corner_finder", finders=FINDERS, captioners=CAPTIONERS)
    wheel = build("wheel", source, source)
    pip = [sys.executable, "-m", "pip", "--python", str(installed / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, timeout=120)
    yield installed
    subprocess.run([*pip, "uninstall", "--yes", "corner-finder"], check=True, timeout=120)


def run(installed: Path, folder: Path, *flags: str) -> None:
    """`regioncap run` in a project, without boxes, as its user types it."""
    command = [str(installed / "regioncap"), "run", "photos.jsonl", "--output", "out.jsonl", *flags]
    options = ["--extractor-options", json.dumps(OPTIONS)]
    done = subprocess.run([*command, *options], cwd=folder, env=outside(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


def test_plugins_by_path(prefect_server: None, installed: Path, tmp_path: Path) -> None:
    project = write_project(tmp_path, "project_pkg")
    run(installed, project, "--extractor", IN_PROJECT["extractor"], "--captioner", IN_PROJECT["captioner"])
    check_rows(project / "out.jsonl", "project_pkg")


@pytest.fixture
def cluster(with_package: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a Dask cluster of one worker, in the environment that has the package."""
    file, log, processes = tmp_path / "scheduler.json", tmp_path / "log", []

    def start(*command: str) -> None:
        with log.open("ab") as out:
            dask = [str(with_package / "python"), "-m", "dask", *command, "--no-dashboard"]
            dask += ["--scheduler-file", str(file)]
            processes.append(end_with_us(subprocess.Popen(dask, cwd=tmp_path, env=outside(), stdout=out, stderr=out)))

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0")
        until(file.exists)
        start("worker", "--host", "127.0.0.1", "--nthreads", "4", "--no-nanny", "--local-directory", str(tmp_path))
        until(lambda: "Registered to" in log.read_text())
        yield json.loads(file.read_text())["address"]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def test_plugins_by_entry_point_on_dask(prefect_server: None, with_package: Path, cluster: str, tmp_path: Path) -> None:
    project = write_project(tmp_path)
    dask = ("--runner", "dask", "--dask-address", cluster)
    run(with_package, project, *dask, "--extractor", "corner", "--captioner", "where")
    check_rows(project / "out.jsonl", "corner_finder")
