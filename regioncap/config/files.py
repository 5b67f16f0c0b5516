"""Files of settings, in TOML or YAML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

from regioncap.errors import UsageError


def read_config_file(path: str) -> dict[str, Any]:
    """The keys and values of a TOML or YAML file. Raises UsageError naming the file and what is wrong with it."""
    file = Path(path)
    if file.suffix not in {".toml", ".yaml", ".yml"}:
        raise UsageError(f"--config {path}: expected a .toml, .yaml or .yml file")
    try:
        text = file.read_text(encoding="utf-8")
        found = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror or error}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path}: cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"--config {path}: expected keys and values, such as max_boxes: 10")
    return found
