"""Replies composed from a grammar of what models write: every region its own caption, or none.

A composed reply carries the captions that it means, so whatever the parser gives can be compared with them: another
region's text, or a word more than its own, is an error in any reply.
"""

from __future__ import annotations

import random
import unicodedata
from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st

from regioncap.captioners.reading.parsing import parse, read_reply
from tests.support.composed_replies import CHUNKS, compose, same

CASES = 24_000


def test_composed_replies_give_their_own_captions_or_none() -> None:
    dice = random.Random(20261126)
    asked, found, documented, known = Counter[str](), Counter[str](), 0, 0
    for _ in range(CASES):
        case = compose(dice)
        captions = parse(case.text, case.wanted, cut=case.cut)
        wrong = {n: text for n, text in captions.items() if n not in case.meant or not same(text, case.meant[n])}
        assert not wrong, f"{case.form}: {wrong} from {case.text!r}"
        if case.answerable:
            asked[case.form] += len(case.meant)
            found[case.form] += len(captions)
            documented += len(case.meant) if case.documented else 0
            known += len(captions) if case.documented else 0
    assert known >= 0.99 * documented, {form: found[form] / asked[form] for form in asked}
    assert found.total() >= 0.9 * asked.total(), {form: found[form] / asked[form] for form in asked}


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(CHUNKS) | st.text(st.characters(), max_size=12), max_size=30).map("".join),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
@example("<|A", 1, False, False)
def test_whatever_comes_a_caption_is_clean(text: str, count: int, cut: bool, structured: bool) -> None:
    wanted = list(range(1, count + 1))
    parsed = read_reply(text, wanted, cut=cut, structured=structured)
    assert set(parsed.captions) <= set(wanted)
    assert bool(parsed.reason) == (len(parsed.captions) < count)
    for caption in parsed.captions.values():
        assert caption == " ".join(caption.split()) != ""
        assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in caption)
        assert not any(sign in caption for sign in ("<think>", "</think>", "<|", "```", "**", '{"'))
