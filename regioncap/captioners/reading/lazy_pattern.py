"""Patterns that are compiled on first use, or earlier by `compile_all`: all of them take a fifth of a second, which
would delay the first request and costs nothing while it is at the server."""

from __future__ import annotations

import re
from typing import Any, cast

_all: list[LazyPattern] = []


class LazyPattern:
    """Stands in for a compiled pattern. Methods are looked up on that when they are first used, and kept."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._pattern = pattern
        self._flags = flags
        self._compiled: re.Pattern[str] | None = None

    def compile(self) -> re.Pattern[str]:
        """The pattern itself."""
        if self._compiled is None:
            self._compiled = re.compile(self._pattern, self._flags)
        return self._compiled

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.compile(), name)
        setattr(self, name, value)  # the next use finds it without this method
        return value


def lazy_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """As `re.compile`; a pattern that is wrong raises `re.error` when it is first used."""
    lazy = LazyPattern(pattern, flags)
    _all.append(lazy)
    return cast(re.Pattern[str], lazy)


def rare_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """As `lazy_pattern`, for what few runs use: it is compiled on first use and no earlier."""
    return cast(re.Pattern[str], LazyPattern(pattern, flags))


def compile_patterns() -> None:
    """Compile those that are not compiled yet."""
    for lazy in _all:
        lazy.compile()
