"""What comes from outside shows no secret, whatever a server makes of it, and is fit for a terminal."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest

from regioncap.masking import mask, outside_text

SECRET = "Hush/hush&secret_42.x"


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPELLED = {
    "as it is": SECRET,
    "in HTML": html.escape(SECRET),
    "as HTML's numbers": "".join(f"&#{ord(sign)};" for sign in SECRET),
    "as HTML's hexadecimal numbers": "".join(f"&#x{ord(sign):X};" for sign in SECRET),
    "in a URL": quote(SECRET, safe=""),
    "in a URL within a URL": quote(quote(SECRET, safe=""), safe=""),
    "every sign of it in a URL": "".join(f"%{ord(sign):02x}" for sign in SECRET),
    "in JSON": json.dumps(SECRET).replace("/", "\\/"),
    "as JSON's escapes": "".join(f"\\u{ord(sign):04X}" for sign in SECRET),
    "split by quotes": SECRET[:9] + '" "' + SECRET[9:],
    "added up": SECRET[:9] + "' + '" + SECRET[9:],
    "wrapped": SECRET[:9] + "\n    " + SECRET[9:],
    "wrapped in JSON": SECRET[:9] + "\\n" + SECRET[9:],
    "with a tag in it": SECRET[:9] + "<wbr>" + SECRET[9:],
    "with signs that cannot be seen": "\u200b".join(SECRET),
    "base64": in_base64(SECRET),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "user and password": "Basic " + in_base64("user:" + SECRET),
    "after one letter": in_base64("u" + SECRET + ":more"),
    "after two letters": in_base64("uv" + SECRET),
    "hexadecimal": SECRET.encode().hex(),
    "shortened": SECRET[:10] + "...",
    "shortened with stars": SECRET[:5] + "*****",
    "cut off": SECRET[:12],
    "a header": f"Authorization: Bearer {SECRET}\r\nHost: example",
}


@pytest.mark.parametrize("masked", [mask, outside_text])
@pytest.mark.parametrize("way", SPELLED)
def test_a_secret_is_found_however_it_is_spelled(way: str, masked: object) -> None:
    assert callable(masked)
    text = masked(f"before {SPELLED[way]} after", SECRET)
    assert "***" in text
    assert text.startswith("before ")
    left = text.replace("Authorization", "").replace("Host: example", "").lower()
    for part in (SECRET, quote(SECRET, safe=""), in_base64("secret"), in_base64("42.x"), SECRET.encode().hex()):
        assert not any(part.lower()[place : place + 6] in left for place in range(len(part) - 5))
    assert len(left) < 60


FORMS = [
    "sk-0123456789",
    "sk-proj-abc_DEF-123",
    "sk-ab...yz",
    "key-ab***yz",
    "key-0123456789abcdef0123456789abcdef",
    "AIzaSyA1234567890abcdefghijk",
    "hf_abcdefghijklmnop",
    "gsk_abcdef123456",
    "xai-abcdef123456",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghij",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
]
NAMED = [
    ("Bearer abc.def.123", "Bearer ***"),
    ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
    ("authorization: hunting\nHost: h", "authorization: ***\nHost: h"),
    ('{"x-api-key": "abc123def456"}', '{"x-api-key": "***"}'),
    ("{'Authorization': 'Bearer abcdefg1'}", "{'Authorization': 'Bearer ***'}"),
    ("api_key=abc123xyz, model=m", "api_key=***, model=m"),
    ('"password": "hunter2"', '"password": "***"'),
    ("https://user:pa55@host/x?api-version=2&key=abcd", "https://***@host/x?api-version=2&key=***"),
    ("https://host/a?X-Amz-Signature=abcd&b=c", "https://host/a?X-Amz-Signature=***&b=c"),
]
HARMLESS = [
    "risk-averse turkey-basting",
    "a task-oriented desk-top",
    "a key-shaped pendant on a monkey-puzzle tree",
    "the bearer of good news, basic instructions",
    "Authorization: header is missing",
    "invalid api key: the one provided is wrong",
    "A note on a fridge that says 'password: 12345'.",
    "https://host:8000/v1/models",
    "sk-no-key-required",
]


@pytest.mark.parametrize("key", FORMS)
def test_a_key_of_a_known_form_is_masked(key: str) -> None:
    assert mask(f'Incorrect key "{key}" given') == 'Incorrect key "***" given'


@pytest.mark.parametrize(("text", "masked"), NAMED)
def test_what_is_called_a_secret_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize("text", HARMLESS)
def test_no_other_word_is_masked(text: str) -> None:
    assert mask(text, ["EMPTY", "a-b-c", "ollama"]) == text


def test_several_secrets_and_those_within_a_header() -> None:
    text = "first-secret, second-secret and a third one"
    assert mask(text, ["first-secret", "Bearer second-secret", "third", ""]) == "***, *** and a *** one"
    assert mask("thirdly", ["third"]) == "thirdly"
    assert mask("a key\n", "a-secret-with-line-end\n") == "a key\n"
    assert mask("a-secret-with-line-end", "a-secret-with-line-end\n") == "***"


def test_text_from_outside_is_short_on_one_line_and_fit_for_a_terminal() -> None:
    assert outside_text("the key\n  hush-hush  is wrong", "hush-hush") == "the key *** is wrong"
    assert outside_text("x" * 400) == "x" * 297 + "…"
    assert outside_text("hush-hush " * 9, "hush-hush", max_chars=10) == "*** ***…"
    assert outside_text("\x1b]0;evil\x07 \x9b31m \u202e") == "\\x1b]0;evil\\x07 \\x9b31m \\u202e"


@pytest.mark.parametrize("part", ["Hush/", "sk-", "key-", "api_key=", "?key=", "://a:", "%48", "\\u0048", "'", "eyJ"])
def test_long_texts_take_as_long_as_they_are(part: str) -> None:
    # A pattern that takes quadratic time would be at it for hours.
    assert "a secret" not in mask(part * 60_000, SECRET)
