"""Finds and makes plugins: code of the user's that a setting names, see `regioncap/config/plugin_names.py`.

What goes wrong here is the plugin's or the config's, and no row's: UsageError, with the one line that matters.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any, TypeVar

from regioncap.config.plugin_names import PluginKind, entries_of, is_path, plugin_name
from regioncap.errors import ConfigError, UsageError
from regioncap.row_work import raised_by

T = TypeVar("T")

_project: list[str] = []
"""The folder in which modules of dotted paths are looked for, too: that of a command's user."""


def import_from(folder: str) -> None:
    """Have modules of dotted paths found in `folder` first, as in a script that lies there. For commands: a Python
    caller's `sys.path` is the caller's. It is changed when the first of them is imported, and only then."""
    _project[:] = [folder]


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found. `name`: as the config has it; `target`: the function or class; `package`,
    `package_version`: the distribution that it is part of, "" if it is in none."""

    kind: PluginKind
    name: str
    target: Any
    package: str = ""
    package_version: str = ""

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.kind.setting.replace('--to', 'export')} {self.name!r}"

    @property
    def module(self) -> str:
        """Where it is defined."""
        return str(getattr(self.target, "__module__", "") or "")

    def attribute(self, name: str, default: T) -> T:
        """An attribute of the function or class, of the type of `default`. Raises UsageError for another type."""
        value = self._attribute(name, default)
        if type(value) is not type(default):
            expected = type(default).__name__
            raise UsageError(f"{self.title}: expected its attribute {name} to be {expected}, got {_shown(value)}")
        return value

    def _attribute(self, name: str, default: T) -> T:
        try:
            return getattr(self.target, name, default)
        except Exception as error:
            raise UsageError(raised_by(f"{self.title}: its attribute {name}", error, self.module)) from None

    def key_parts(self) -> dict[str, Any]:
        """What tells this code from its earlier versions: part of the keys of what it makes. Raises UsageError."""
        value: Any = self._attribute("version", "")
        if not isinstance(value, str | int | float):
            raise UsageError(
                f"{self.title}: expected its attribute version to be text or a number, got {_shown(value)}"
            )
        return {
            "name": self.name, "package": self.package, "package_version": self.package_version, "version": str(value)
        }  # fmt: skip

    def check_called(self, function: Any, form: str) -> None:
        """Raises UsageError unless `function`, which the plugin is called by in the form `form`, can be called so."""
        if not callable(function):
            raise UsageError(f"{self.title}: expected a class with {form}, got one without")
        if inspect.iscoroutinefunction(function):
            raise UsageError(f"{self.title}: expected {form} to be a function as others, got an async one")

    def check_options(self, options: Mapping[str, Any], *positional: Any) -> None:
        """Raises UsageError for options that the function, called with `positional` first, or the class does not
        take."""
        given = () if inspect.isclass(self.target) else positional
        with suppress(ValueError):  # it has no signature that Python knows
            signature = inspect.signature(self.target)
            try:
                signature.bind(*given, **options)
            except TypeError as error:
                raise UsageError(
                    f"{self.kind.setting}_options: {error} in {self.name}{signature}; expected its arguments by name"
                ) from None

    def make(self, options: Mapping[str, Any]) -> Any:
        """An instance of the class, made with `options`; or the function with `options` given. Raises UsageError."""
        if not inspect.isclass(self.target):
            return partial(self.target, **options)
        try:
            return self.target(**options)
        except (Exception, SystemExit) as error:
            raise UsageError(raised_by(f"{self.title} cannot be made: it", error, self.module)) from None


def _shown(value: Any) -> str:
    return f"{type(value).__name__}"


def find_plugin(kind: PluginKind, name: str) -> Plugin:
    """The plugin that `name`, an entry point's or a dotted path, stands for. Raises UsageError, ConfigError."""
    try:
        name = plugin_name(name, kind)
    except ValueError as error:
        raise ConfigError(kind.setting, str(error), name) from None
    return _by_path(kind, name, name) if is_path(name) else _by_entry(kind, name)


def _by_entry(kind: PluginKind, name: str) -> Plugin:
    found = {(entry.value, _package_of(entry)): entry for entry in entries_of(kind)[name]}
    if len(found) > 1:
        packages = " and ".join(sorted(f"{package[0]} ({value})" for value, package in found))
        raise UsageError(
            f"{kind.setting}: {name!r} is an entry point of {packages}; give the dotted path of one of them"
        )
    ((value, package),) = found
    if not is_path(value):
        raise UsageError(f"{kind.setting}: the entry point {name!r} of {package[0]} is {value!r}; expected module:name")
    return Plugin(kind, name, _by_path(kind, name, value).target, *package)


def _package_of(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist is not None else ("", "")


def _by_path(kind: PluginKind, name: str, path: str) -> Plugin:
    module_name, _, attribute = path.partition(":")
    target = _imported(kind, name, module_name)
    for part in attribute.split("."):
        if not hasattr(target, part):
            known = [known for known in vars(target) if not known.startswith("_") and callable(vars(target)[known])]
            near = difflib.get_close_matches(part, known, 1)
            raise UsageError(
                f"{kind.setting}: {_place_of(module_name)} has no {part!r}; "
                + (
                    f"did you mean {near[0]}?"
                    if near
                    else f"it has {', '.join(sorted(known)[:10]) or 'nothing to call'}"
                )
            )
        target = getattr(target, part)
    if not callable(target) or inspect.iscoroutinefunction(target):
        what = "an async function" if callable(target) else f"of type {type(target).__name__}"
        raise UsageError(f"{kind.setting}: expected a function or class, but {path} is {what}")
    return Plugin(kind, name, target, *_distribution_of(module_name.partition(".")[0]))


def _imported(kind: PluginKind, name: str, module: str) -> Any:
    for folder in _project:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        return import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise UsageError(
                f"{kind.setting}: there is no module {error.name!r} for {name!r}; expected one of an installed "
                f"package, or one in {' or '.join([*_project, 'a folder of PYTHONPATH'])}"
            ) from None
        raise UsageError(f"{kind.setting}: {raised_by(f'importing {module}', error, module)}") from None


def _place_of(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return f"{module} ({Path(file).name})" if file else module


@cache
def _distribution_of(top: str) -> tuple[str, str]:
    """(name, version) of the installed distribution that has the top-level module `top`; empty texts if none has."""
    for name in packages_distributions().get(top, ()):
        with suppress(PackageNotFoundError):
            return name, version(name)
    return "", ""
