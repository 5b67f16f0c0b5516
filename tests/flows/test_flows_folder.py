"""What `flows/` may hold: Prefect loads `flows/region_caption.py:region_caption` as module `region_caption`, with
`flows/` left on `sys.path`."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from tests.support.commands import ROOT

FILES = sorted((ROOT / "flows").glob("*.py"))
MODULES = [file for file in FILES if file.stem != "__init__"]


def test_there_are_modules_to_check() -> None:
    assert "region_caption" in {file.stem for file in MODULES}


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.stem)
def test_no_module_has_the_name_of_an_importable_one(file: Path) -> None:
    # `import parsing` in a user's project would give ours, if there were a flows/parsing.py and a parsing elsewhere.
    assert importlib.util.find_spec(file.stem) is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imports_are_absolute(file: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in imports if node.level] == []


def test_the_flows_module_defines_the_flow_and_nothing_else() -> None:
    # Loaded twice, under two names, a class or a registry in it would be there twice.
    (file,) = [file for file in MODULES if file.stem == "region_caption"]
    body = ast.parse(file.read_text()).body
    imports = ast.Expr, ast.Import, ast.ImportFrom
    assert [getattr(node, "name", node) for node in body if not isinstance(node, imports)] == ["region_caption"]
