"""README and docs/: links lead somewhere, and every page is reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, anchors, links, name_of
from tests.support.commands import ROOT


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        path, _, fragment = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_pages_of_the_site_link_to_nothing_outside_of_it() -> None:
    outside = {
        (name_of(page), link)
        for page in PAGES
        if page.is_relative_to(DOCS)
        for link in links(page)
        if "://" not in link and not (page.parent / link.partition("#")[0]).resolve().is_relative_to(DOCS)
    }
    assert outside == set()


@pytest.mark.parametrize("start", [ROOT / "README.md", DOCS / "index.md"], ids=name_of)
def test_every_page_is_one_click_away(start: Path) -> None:
    linked = {(start.parent / link.partition("#")[0]).resolve() for link in links(start)}
    assert set(DOCS.rglob("*.md")) - {DOCS / "index.md"} <= linked


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180
