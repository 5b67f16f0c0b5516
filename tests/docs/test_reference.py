"""The generated pages of docs/ are those of today's settings and commands."""

from __future__ import annotations

import runpy

import pytest

from tests.docs.pages import DOCS

GENERATED = runpy.run_path(str(DOCS / "reference.py"))["PAGES"]


@pytest.mark.parametrize("page", GENERATED)
def test_a_generated_page_is_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text() == GENERATED[page](), f"docs/{page} is stale: run `make reference`"
