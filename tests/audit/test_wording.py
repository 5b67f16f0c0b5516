"""Words and their weights."""

from __future__ import annotations

import pytest

from regioncap.audit.wording import Wording, terms_of


def test_terms_are_words_and_in_scripts_without_spaces_runs_of_characters() -> None:
    assert terms_of("A Red-Hot DOG!") == ["a", "red-hot", "dog"]
    assert terms_of("红狗 猫") == ["红", "狗", "猫", "红狗"]
    assert "สุน" in terms_of("สุนัข")
    assert terms_of("ＤＯＧ") == ["dog"]  # noqa: RUF001 - full-width letters
    assert terms_of("…") == []


def test_words_that_all_captions_hold_weigh_nothing() -> None:
    captions = ["a dog", "a cat", "a dog and a bone"]
    vectors = Wording(captions).vectors([*captions, "a", None, "unheard of"])
    likeness = vectors @ vectors.T
    assert likeness[0, 1] == 0
    assert 0 < likeness[0, 2] < 1
    assert likeness.diagonal() == pytest.approx([1, 1, 1, 0, 0, 0])
