"""Every file has one name as a module: a file that is imported under two would have its classes and state twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT

IMPORT_ALL = """
import importlib, pkgutil, regioncap
for module in pkgutil.walk_packages(regioncap.__path__, "regioncap."):
    importlib.import_module(module.name)
"""
IMPORT_AS_A_WORKER_DOES = """
from prefect.flows import load_flow_from_entrypoint
load_flow_from_entrypoint("flows/region_caption.py:region_caption")
"""
PRINT_FILES = """
import json, sys
files = [(name, vars(module).get("__file__")) for name, module in list(sys.modules.items())]
print(json.dumps({name: file for name, file in files if file}))
"""


def names_of_files(code: str) -> dict[str, list[str]]:
    """The names that every file of this repository has in a process that ran `code` at its root."""
    done = subprocess.run(
        [sys.executable, "-c", code + PRINT_FILES], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names: dict[str, list[str]] = {}
    for name, file in json.loads(done.stdout.splitlines()[-1]).items():
        real = Path(file).resolve()
        if any(real.is_relative_to(ROOT / folder) for folder in ("regioncap", "flows", "tasks")):
            names.setdefault(str(real.relative_to(ROOT)), []).append(name)
    return names


@pytest.mark.parametrize("code", [IMPORT_ALL, IMPORT_AS_A_WORKER_DOES], ids=["imports", "file entrypoint"])
def test_a_file_has_one_name(code: str) -> None:
    names = names_of_files(code)
    assert {file: found for file, found in names.items() if len(found) > 1} == {}
    assert names["tasks/shard.py"] == ["regioncap.tasks.shard"]


def test_the_test_sees_a_second_name() -> None:
    names = names_of_files("import regioncap.flows.parameters, flows.parameters")
    assert sorted(names["flows/parameters.py"]) == ["flows.parameters", "regioncap.flows.parameters"]
