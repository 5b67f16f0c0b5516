"""Command lines of the pages: split as a shell does, and checked against the real commands without running them."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click

from regioncap.command.app import app
from regioncap.command.options import config_from
from regioncap.config.model import RegionCapConfig
from tests.support.commands import ROOT

TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
OF_THE_REPOSITORY = ("deployments/", "examples/", "benchmarks/", "docs/", "flows/", "tasks/", "tests/")
MADE_BY_USERS = ("deployments/.env",)


def lines(text: str) -> list[list[str]]:
    """The commands of a shell block, each as its words: comments are left out, continued lines joined."""
    split = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    return [words for words in split if words]


def check(words: list[str]) -> None:
    """Check what can be known of a command without running it. Raises AssertionError, or click's or our UsageError."""
    for word in words:
        if word.startswith(OF_THE_REPOSITORY) and word not in MADE_BY_USERS:
            assert (ROOT / word).exists(), f"{word} is not in the repository"
    if words[0] == "make":
        assert set(words[1:]) <= TARGETS, words
    ours = next((at for at, word in enumerate(words[:-1]) if word == "regioncap" and is_command(words[at + 1])), None)
    assert ours is not None or words[0] != "regioncap", f"{' '.join(words)}: no such command"
    if ours is not None:
        check_regioncap(words[ours + 1 :])


def is_command(word: str) -> bool:
    return word in app.commands


def check_regioncap(words: list[str]) -> None:
    """Parse `COMMAND ARGUMENTS…`; for commands with settings, also check these. Raises click's or our UsageError."""
    command = app.commands[words[0]]
    values: dict[str, Any] = command.make_context(words[0], words[1:]).params
    if "config_file" in values:
        settings = {name: value for name, value in values.items() if name in RegionCapConfig.model_fields}
        config_from(values["source"], values["config_file"], settings)


def option_names(command: click.Command) -> set[str]:
    return {"--help"}.union(*(parameter.opts + parameter.secondary_opts for parameter in command.params))


ALL_OPTIONS = {"--version"}.union(*map(option_names, app.commands.values()))


def unknown_options(code: str) -> list[str]:
    """The options in a command line or part of one, such as `regioncap explain …` or `--output out/`, that are none."""
    words = code.split()
    known = ALL_OPTIONS
    if words[0] == "regioncap" and len(words) > 1:
        assert is_command(words[1]) or words[1] in ALL_OPTIONS, f"{code}: no such command"
        known = option_names(app.commands.get(words[1], app))
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
