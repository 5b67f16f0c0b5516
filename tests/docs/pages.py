"""README and the pages of docs/, as the tests of them see them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.commands import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "deployments" / "README.md", *DOCS.rglob("*.md")])

_FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def anchors(page: Path) -> Iterator[str]:
    """The fragments that lead to the page's headings, as GitHub and MkDocs make them of ASCII headings."""
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        yield re.sub(r"[\s]+", "-", text)
