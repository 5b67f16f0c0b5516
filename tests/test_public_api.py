"""What `import regioncap` gives: the public names, loaded when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import regioncap
from regioncap import errors
from regioncap.config.model import RegionCapConfig
from regioncap.output.summary import Summary

PUBLIC = [
    "AccountingError",
    "BudgetReached",
    "CaptionerError",
    "ConfigError",
    "InputDamaged",
    "OutputInUse",
    "PluginError",
    "PrefectLost",
    "RegionCapConfig",
    "RegionCapError",
    "RowReject",
    "RowsFailAlike",
    "RunStopped",
    "SettingsChanged",
    "Stopped",
    "StorageError",
    "Summary",
    "UsageError",
    "Waiting",
    "WorkersLost",
    "__version__",
    "region_caption",
]
"""A name that goes from this list breaks somebody's import: that takes a new major version."""


def fresh_python(code: str) -> str:
    """What `code` prints in a Python of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def test_the_public_names_are_these() -> None:
    assert regioncap.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(regioncap))


def test_public_names_are_the_objects_that_the_modules_define() -> None:
    from regioncap.flows.region_caption import region_caption

    assert regioncap.region_caption is region_caption
    assert (regioncap.RegionCapConfig, regioncap.Summary) == (RegionCapConfig, Summary)
    assert all(getattr(regioncap, name) is getattr(errors, name) for name in PUBLIC if hasattr(errors, name))


def test_every_error_is_public() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert defined <= set(PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'caption_regions'"):
        _ = regioncap.caption_regions


def test_a_bare_import_loads_no_dependency() -> None:
    code = (
        "import sys; before = set(sys.modules); import regioncap\n"
        "print(*sorted(name.split('.')[0] for name in set(sys.modules) - before if name.split('.')[0] not in "
        "sys.stdlib_module_names))"
    )
    assert fresh_python(code) == "regioncap"


def test_the_names_that_need_no_prefect_do_not_load_it() -> None:
    code = "import sys; from regioncap import RegionCapConfig, UsageError; print('prefect' in sys.modules)"
    assert fresh_python(code) == "False"


def test_a_run_makes_its_first_requests_without_prefect() -> None:
    modules = "preflight.check", "preflight.start", "tasks.head_start"
    imports = "; ".join(f"import regioncap.{module}" for module in modules)
    assert fresh_python(f"import sys; {imports}; print('prefect' in sys.modules)") == "False"


def test_a_worker_of_a_cluster_imports_prefect_without_a_report_to_its_makers() -> None:
    """What is asked of a worker first is in this module; tasks, whose import brings Prefect, come later."""
    code = """
import importlib.abc, os, sys
os.environ.pop("DO_NOT_TRACK", None)
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "prefect":
            print(os.environ.get("DO_NOT_TRACK"))
sys.meta_path.insert(0, Watch())
import regioncap.tasks.dask_remote
import prefect
"""
    assert fresh_python(code) == "1"
