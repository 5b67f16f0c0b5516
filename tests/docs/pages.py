"""README and the pages of docs/ as the tests see them: code blocks, prose, links, headings.

Every code block is run as it stands, unless a comment on the line before it says otherwise:

    <!-- not run: needs a GPU -->      only checked: options, settings, targets, paths, syntax. The reason is required.
    <!-- line of: captions.jsonl -->   must be what a line of that file says at this point; "…" stands for anything

A block with a title (```toml title="settings.toml") is written to the file of that name, for the commands that follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "deployments" / "README.md", *DOCS.rglob("*.md")])

_FENCE = re.compile(
    r"(?:^<!-- (?P<kind>[\w ]+?): (?P<note>.+?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[^ \n]*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>(?s:.*?))^(?P=indent)```$",
    re.MULTILINE,
)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block. `kind` and `note` are those of the comment before it, empty without one."""

    place: str
    language: str
    text: str
    kind: str
    note: str
    title: str = ""

    @property
    def runs(self) -> bool:
        return self.kind != "not run"


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name


def blocks(page: Path) -> Iterator[Block]:
    """The page's code blocks, in order; each says where it begins."""
    text = page.read_text()
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        kind, note, title = found["kind"] or "", found["note"] or "", found["title"] or ""
        yield Block(f"{name_of(page)}:{line}", found["language"], found["text"], kind, note, title)


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def code_words(page: Path) -> list[str]:
    """What stands in backticks in the page's prose."""
    return [" ".join(found[1].split()) for found in _CODE.findall(prose(page))]


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def anchors(page: Path) -> Iterator[str]:
    """The fragments that lead to the page's headings, as GitHub and MkDocs make them of ASCII headings."""
    for heading in _HEADING.findall(prose(page)):
        yield re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
