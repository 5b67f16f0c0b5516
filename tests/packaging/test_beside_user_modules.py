"""The installed wheel in projects that have a `tasks.py` or a `flows/` of their own, as most Prefect projects do."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import ROOT
from tests.support.own_plugins import IN_PROJECT, check_rows, write_project
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.sites import PrefectServer

OWN_MODULES = {
    "tasks-module": ("tasks", ["tasks.py"]),
    "flows-package": ("flows.nightly", ["flows/nightly.py", "flows/__init__.py"]),
    "flows-folder": ("flows.nightly", ["flows/nightly.py"]),
}
"""The module that each project has of its own, and its files."""

SPELLINGS = ("module", "file")

SCRIPT = """
import sys
from prefect import flow
from regioncap.config.model import RegionCapConfig
from regioncap.flows.region_caption import region_caption
import {module} as own

CONFIG = RegionCapConfig(input="photos.jsonl", output="script.jsonl", cache_path="cache", captioner="pixels")

@flow
def mine():
    return region_caption(CONFIG)

if __name__ == "__main__":
    print(own.__file__, sys.modules["regioncap.tasks"].__file__, region_caption(CONFIG).rows_out, mine().rows_out)
"""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind of project: its own module, a script that uses RegionCap, and two photos."""
    folders = {name: tmp_path_factory.mktemp(name) for name in OWN_MODULES}
    for name, folder in folders.items():
        module, files = OWN_MODULES[name]
        for file in files:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).touch()
        (folder / "main.py").write_text(SCRIPT.format(module=module))
        images = [write_photo(folder / f"photo{number}.png", number).name for number in range(2)]
        write_rows(folder / "photos.jsonl", [{"image": image, "bbox": [BOX]} for image in images])
    return folders


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flow's files as a checkout has them, without the links: the package is the installed one."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "flows", folder / "flows")
    write_rows(folder / "photos.jsonl", [{"image": write_photo(folder / "photo.png", 1).name, "bbox": [BOX]}])
    return folder


@pytest.fixture(scope="module")
def with_plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a region finder and a captioner of its own."""
    return write_project(tmp_path_factory.mktemp("plugins"), "project_pkg")


@pytest.fixture(scope="module")
def server(
    installed: Path,
    projects: dict[str, Path],
    checkout: Path,
    with_plugins: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PrefectServer]:
    """A Prefect server and a worker of the environment that has the wheel, and the flow deployed in every project."""
    server = PrefectServer(
        tmp_path_factory.mktemp("prefect"), folder=checkout, python=installed / "python", pythonpath=None
    )
    try:
        server.begin()
        (checkout / "prefect.yaml").write_text(
            yaml.safe_dump(prefect_yaml(installed, projects, checkout, with_plugins))
        )
        server.post("work_pools/", name="scratch", type="process").raise_for_status()
        server.prefect("--no-prompt", "deploy", "--all")
        server.start("worker", "start", "--pool", "scratch")
        yield server
    finally:
        server.end()


def entrypoints(installed: Path) -> dict[str, str]:
    """How the flow may be named, by `SPELLINGS`."""
    (package,) = installed.parent.glob("lib/python*/site-packages/regioncap")
    return {
        "module": "regioncap.flows.region_caption.region_caption",
        "file": f"{package}/flows/region_caption.py:region_caption",
    }


def prefect_yaml(installed: Path, projects: dict[str, Path], checkout: Path, with_plugins: Path) -> dict[str, Any]:
    """Every project with every spelling, the file of a checkout by its relative path, and the project with plugins."""
    deployments = [
        deployment(f"{name}-{spelling}", entrypoint, folder)
        for (name, folder), (spelling, entrypoint) in itertools.product(
            projects.items(), entrypoints(installed).items()
        )
    ]
    in_checkout = deployment("checkout", "flows/region_caption.py:region_caption", checkout)
    plugins = deployment("plugins", entrypoints(installed)["module"], with_plugins)
    return {"name": "scratch", "deployments": [*deployments, in_checkout, plugins]}


def deployment(name: str, entrypoint: str, folder: Path) -> dict[str, Any]:
    """As `prefect deploy` makes one in `folder`."""
    step = {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}
    return {"name": name, "entrypoint": entrypoint, "work_pool": {"name": "scratch"}, "pull": [step]}


@pytest.fixture(scope="module")
def runs(server: PrefectServer) -> dict[str, str]:
    """The ids of the flow runs by deployment: one of each, all under way at once."""
    names = [*(f"{name}-{spelling}" for name in OWN_MODULES for spelling in SPELLINGS), "checkout"]
    config = {"input": "photos.jsonl", "captioner": "pixels"}
    made = {name: server.create(name, config={**config, "output": f"{name}.jsonl"}) for name in names}
    made["plugins"] = server.create("plugins", config={**config, "output": "plugins.jsonl", **IN_PROJECT})
    return {name: created.raise_for_status().json()["id"] for name, created in made.items()}


def call(server: PrefectServer, folder: Path, *command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=server.environment | environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", OWN_MODULES)
def test_as_a_script_and_as_a_subflow(
    server: PrefectServer, installed: Path, projects: dict[str, Path], name: str
) -> None:
    own, ours, *rows = call(server, projects[name], installed / "python", "main.py").split()
    assert Path(own) == projects[name] / OWN_MODULES[name][1][0]
    assert Path(ours).is_relative_to(installed.parent)
    assert rows == ["2", "2"]


@pytest.mark.parametrize("name", OWN_MODULES)
def test_as_a_command(server: PrefectServer, installed: Path, projects: dict[str, Path], name: str) -> None:
    folder = projects[name]
    assert "0.1" in call(server, folder, installed / "regioncap", "--version", PYTHONPATH=".")
    run = ("run", "photos.jsonl", "--captioner", "pixels", "--output", "command.jsonl")
    call(server, folder, installed / "regioncap", *run, PYTHONPATH=".")
    assert len(read_rows(folder / "command.jsonl")) == 2


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", OWN_MODULES)
def test_by_a_worker(
    server: PrefectServer, runs: dict[str, str], projects: dict[str, Path], name: str, spelling: str
) -> None:
    ended = server.ended(runs[f"{name}-{spelling}"])
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert len(read_rows(projects[name] / f"{name}-{spelling}.jsonl")) == 2


def test_by_a_worker_from_a_checkout(server: PrefectServer, runs: dict[str, str], checkout: Path) -> None:
    ended = server.ended(runs["checkout"])
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert len(read_rows(checkout / "checkout.jsonl")) == 1


def test_by_a_worker_with_plugins_of_the_project(
    server: PrefectServer, runs: dict[str, str], with_plugins: Path
) -> None:
    ended = server.ended(runs["plugins"])
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    check_rows(with_plugins / "plugins.jsonl", "project_pkg")


@pytest.mark.parametrize("name", OWN_MODULES)
def test_a_projects_modules_are_its_own_after_a_worker_has_loaded_the_flow(
    server: PrefectServer, installed: Path, projects: dict[str, Path], name: str
) -> None:
    module, (file, *_) = OWN_MODULES[name]
    code = f"""
from prefect.flows import load_flow_from_entrypoint
for entrypoint in {list(entrypoints(installed).values())}:
    load_flow_from_entrypoint(entrypoint)
import {module} as own
print(own.__file__)
"""
    assert Path(call(server, projects[name], installed / "python", "-c", code).strip()) == projects[name] / file
