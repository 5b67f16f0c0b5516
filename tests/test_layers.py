"""Imports go down only, and each layer keeps out what is not its business."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = [
    {"tasks", "tasks.errors", "tasks.records", "tasks.config", "tasks.summary", "tasks.rows"},
    {"tasks.vision"},
    {"tasks.storage"},
    {"tasks.captioners", "tasks.writers"},
    {"tasks.registry", "tasks.secrets", "tasks.prompt_keys", "tasks.changes", "tasks.flags"},
    {"tasks.exporting", "tasks.reporting", "tasks.sheets"},
    {"tasks.context"},
    {"tasks.caching"},
    {
        f"tasks.{step}"
        for step in ("load", "route", "joining", "parts", "extract", "normalize", "visualize", "caption", "write")
    }
    | {"tasks.answering"},
    {"tasks.run_log", "tasks.run_page"},
    {"tasks.shard"},
    {"tasks.looking", "tasks.trying", "tasks.planning", "tasks.pruning", "tasks.first_look", "tasks.live"},
    {"tasks.before", "tasks.workers", "tasks.dask_workers"},
    {"tasks.artifacts", "tasks.parameters"},
    {"tasks.window"},
    {"tasks.terminal"},
    {"flows"},
]

PAGE = ("tasks.run_log", "tasks.artifacts", "tasks.parameters")
WORKERS = ("tasks.workers", "tasks.dask_workers")

FOREIGN = {
    "prefect": {"tasks.secrets", "tasks.caching", "tasks.shard", "tasks.window", "flows", *PAGE, *WORKERS} | LAYERS[8],
    "prefect_dask": {"tasks.dask_workers"},
    "distributed": {"tasks.dask_workers"},
    "dask": {"tasks.dask_workers"},
    "fsspec": {"tasks.storage"},
    "jinja2": {"tasks.writers"},
    "pyarrow": {"tasks.storage", "tasks.writers"},
    "cv2": {"tasks.vision", "tasks.captioners"},
    "PIL": {"tasks.vision"},
    "simplejpeg": {"tasks.vision"},
    "aiohttp": {"tasks.captioners"},
    "uvicorn": {"tasks.captioners"},
    "starlette": {"tasks.captioners"},
    "click": {"flows"},
    "rich": {"tasks.terminal"},
}
"""Which modules may import what."""


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for folder in ("flows", "tasks") for file in sorted((ROOT / folder).rglob("*.py"))}


def group(name: str) -> str:
    """`tasks.storage.steps` belongs to `tasks.storage`; `tasks.load` is its own."""
    known = {entry for layer in LAYERS for entry in layer}
    while name not in known and "." in name:
        name = name.rpartition(".")[0]
    return name


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if group(name) in names)


def imports(file: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & MODULES.keys()) or {str(node.module)}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    upwards = {other for other in imports(MODULES[name]) & MODULES.keys() if layer(other) > layer(name)}
    assert not upwards, f"{name} imports from above it: {upwards}"


@pytest.mark.parametrize("name", MODULES)
def test_foreign_packages_stay_where_they_belong(name: str) -> None:
    packages = {other.split(".")[0] for other in imports(MODULES[name])}
    strangers = {package for package in packages & FOREIGN.keys() if group(name) not in FOREIGN[package]}
    assert not strangers, f"{name} imports {strangers}"


def test_every_module_has_its_layer() -> None:
    known = {entry for names in LAYERS for entry in names}
    assert {name for name in MODULES if group(name) not in known} == set()


def test_registry_entries_exist() -> None:
    from tasks.registry import CAPTIONERS, EXTRACTORS, load

    assert all(callable(load(entry)) for entry in [*EXTRACTORS.values(), *CAPTIONERS.values()])


def test_no_file_in_flows_hides_a_module() -> None:
    # A file entrypoint leaves `flows/` on sys.path, so a `flows/click.py` would be imported instead of click.
    import sys

    names = {file.stem for file in (ROOT / "flows").glob("*.py")} - {"__init__"}
    assert not names & (set(sys.stdlib_module_names) | {"tasks", "flows", "prefect", "click"})
