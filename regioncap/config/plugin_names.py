"""How a setting names code: one of our names, the name of an entry point, or a dotted path to a user's own.

Our names win over entry points of the same name, so that no package that is installed changes what a config means.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
"""`my_pkg.yolo:find`: a module, and a name in it."""


@dataclass(frozen=True)
class PluginKind:
    """What can be a user's own. `setting`: what names it; `group`: that of its entry points; `known`: our names;
    `example`: a dotted path."""

    setting: str
    group: str
    known: tuple[str, ...]
    example: str


EXTRACTOR = PluginKind("extractor", "regioncap.extractors", ("edges", "canny", "adaptive", "vlm"), "my_pkg.yolo:find")
CAPTIONER = PluginKind(
    "captioner", "regioncap.captioners", ("auto", "vllm", "openai", "pixels"), "my_pkg.blip:Captioner"
)
EXPORT = PluginKind(
    "--to", "regioncap.exports", ("coco", "parquet", "llava", "csv", "hf", "wds"), "my_pkg.florence:write"
)


def is_path(name: str) -> bool:
    """Whether a name is a dotted path to a user's own code.

    >>> is_path("my_pkg.yolo:find"), is_path("edges")
    (True, False)
    """
    return _PATH.fullmatch(name) is not None


def entries_of(kind: PluginKind) -> dict[str, list[EntryPoint]]:
    """The entry points of installed packages by name; those with one of our names are left out."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=kind.group), key=lambda entry: (entry.name, entry.value)):
        if entry.name not in kind.known:
            found.setdefault(entry.name, []).append(entry)
    return found


def plugin_name(value: Any, kind: PluginKind) -> str:
    """`value` as a name that there is, or as a dotted path, whose module is imported only when it is needed.

    Raises ValueError with what was expected, what there is, and what is nearest.
    """
    name = value.strip() if isinstance(value, str) else ""
    if name in kind.known or is_path(name) or (name and name in entries_of(kind)):
        return name
    raise ValueError(_expected(value, name, kind))


def _expected(value: Any, name: str, kind: PluginKind) -> str:
    installed = list(entries_of(kind))
    near = _nearest(value, name, [*kind.known, *installed])
    return (
        f"{', '.join(kind.known)}, the name of an entry point in {kind.group} "
        f"(installed: {', '.join(installed) or 'none'}), or a dotted path such as {kind.example}"
        f"{f' (did you mean {near}?)' if near else ''}"
    )


def _nearest(value: Any, name: str, known: list[str]) -> str:
    if callable(value):  # a function itself, which no other process would have
        return f"{getattr(value, '__module__', 'my_pkg')}:{getattr(value, '__qualname__', 'find')}"
    if ":" not in name and "." in name and is_path(dotted := ":".join(name.rsplit(".", 1))):
        return dotted
    return next(iter(difflib.get_close_matches(name, known, 1)), "")
