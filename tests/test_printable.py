"""What others wrote does not act on a terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest

from regioncap.printable import printable, printable_json

ACTING = {
    "\x1b]0;evil\x07": "\\x1b]0;evil\\x07",
    "\x9b31m": "\\x9b31m",
    "\x1b[2J": "\\x1b[2J",
    "\rover": "\\rover",
    "\b\x7f\x00": "\\x08\\x7f\\x00",
    "\u202egnp.exe": "\\u202egnp.exe",
    "\u2066\u2069\u200f": "\\u2066\\u2069\\u200f",
    "\u2028\ufeff": "\\u2028\\ufeff",
    "\U000e0041": "\\U000e0041",
    "\ud83d": "\\ud83d",
}
HARMLESS = "A café,\n\t一只狗 👩\u200d🚀 {brackets} [bold] 🏳\ufe0f نص"


@pytest.mark.parametrize("text", ACTING)
def test_what_acts_on_a_terminal_is_shown_instead(text: str) -> None:
    assert printable(f"a{text}b") == f"a{ACTING[text]}b"


@pytest.mark.parametrize("text", ACTING)
def test_json_stays_the_same_data(text: str) -> None:
    shown = printable_json(json.dumps({"a": f"x{text}y"}, ensure_ascii=False))
    assert json.loads(shown) == {"a": f"x{text}y"}
    assert not any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl") for sign in shown)


def test_all_other_text_stays_as_it_is() -> None:
    assert printable(HARMLESS) == HARMLESS
    assert printable_json(HARMLESS) == HARMLESS


def test_no_control_sign_is_left_out() -> None:
    kept = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp")}
    assert {sign for sign in kept if sign in printable(sign)} == {"\t", "\n"}
