"""Patterns are compiled when they are first used, and then are those that `re.compile` gives."""

from __future__ import annotations

import re

import pytest

from regioncap.captioners.reading.lazy_pattern import compile_patterns, lazy_pattern, rare_pattern


def test_it_does_what_the_pattern_does() -> None:
    lazy, pattern = lazy_pattern("(a+)(B)?", re.IGNORECASE), re.compile("(a+)(B)?", re.IGNORECASE)
    for _ in range(2):
        found = lazy.search("xAAb")
        assert found is not None
        assert found.groups() == ("AA", "b")
    assert lazy.sub("-", "caab") == pattern.sub("-", "caab") == "c-"
    assert (lazy.pattern, lazy.flags, lazy.groups) == (pattern.pattern, pattern.flags, pattern.groups)


def test_it_is_compiled_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    def noted(pattern: str, flags: int) -> re.Pattern[str]:
        compiled.append(pattern)
        return original(pattern, flags)

    original = re.compile
    monkeypatch.setattr(re, "compile", noted)
    monkeypatch.setattr("regioncap.captioners.reading.lazy_pattern._all", [])
    used, rare, ahead = lazy_pattern("used"), rare_pattern("rare"), lazy_pattern("ahead")
    assert not compiled
    assert used.match("used")
    compile_patterns()
    assert ahead.match("ahead")
    assert compiled == ["used", "ahead"]
    assert rare.match("rare")
