"""The pages name all that a user may meet."""

from __future__ import annotations

from typing import get_args

import pytest

from regioncap.config.fields_captions import FlagName
from regioncap.errors import FinalCode, RetryableCode
from regioncap.registry import CAPTIONERS, EXPORTS, EXTRACTORS
from tests.docs.pages import DOCS, code_words

NAMES = {
    "when-it-fails.md": (*get_args(FinalCode), *get_args(RetryableCode)),
    "look-and-export.md": (*get_args(FlagName), *EXPORTS),
    "regions.md": tuple(EXTRACTORS),
    "models.md": tuple(CAPTIONERS),
}


@pytest.mark.parametrize("page", NAMES)
def test_a_page_names_all_of_its_kind(page: str) -> None:
    assert set(NAMES[page]) <= set(code_words(DOCS / page))
