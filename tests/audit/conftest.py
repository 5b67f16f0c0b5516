"""The simulated model of the benchmark, for the tests of what it shows."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from tests.support.commands import ROOT


@pytest.fixture(scope="session")
def simulation() -> ModuleType:
    """benchmarks/audit.py, with the simulated model."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("audit_simulation")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
