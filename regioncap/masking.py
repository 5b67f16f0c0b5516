"""Text that comes from outside, made fit for messages and logs: short, on one line, without secrets or control signs.

Two kinds of secrets are masked: those that the run has, however a server spells them when it repeats them, and what
looks like a key of a known form.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from regioncap.printable import printable

MASK = "***"

SHORT_SECRET = 8
"""A shorter secret is masked as a word of its own only: as part of other words it is chance."""

UNSPLIT = 3
"""What splits or wraps a text leaves so many signs of a secret together at its begin."""

NO_SECRETS = frozenset({
    "empty", "none", "null", "dummy", "test", "local", "key", "token", "secret", "api-key", "apikey", "no-key",
    "not-needed", "not-required", "ollama", "vllm", "lm-studio", "llamacpp", "llama.cpp", "sk-no-key-required",
    "anything", "bearer", "basic",
})  # fmt: skip
"""What people set where a server wants some key and checks none. It must not be masked in captions."""

_SIGN = r"[\w*•…-]"
_KEY_LIKE = re.compile(
    rf"(?:(?!sk-no-key)[spr]k[-_](?:{_SIGN}|\.(?=[.\w*])){{4,}}|"
    rf"key-(?=[\w-]{{0,64}}\*|[\w-]{{12}})(?=\D{{0,64}}[\d*]){_SIGN}{{4,}}|"
    r"eyJ[\w*-]{4,}(?:\.[\w*-]+){0,4}|"
    r"(?:AIza|AKIA|ASIA|hf_|gsk_|xai-|csk-|gh[opsur]_|github_pat_|glpat-|nvapi-|r8_|pplx-|tvly-|fw_|ya29\.|"
    r"xox[abeprs]-|"
    rf"sess-|dapi(?=[0-9a-f]{{6}})){_SIGN}{{8,}})"
)
"""Keys by the forms that their makers give them. Servers repeat a wrong key with some of its letters replaced."""

_KEY_CUES = (
    "sk-", "pk-", "rk-", "sk_", "pk_", "rk_", "key-", "eyJ", "AIza", "AKIA", "ASIA", "hf_", "xai-", "glpat-", "nvapi-",
    "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "r8_", "pplx-", "tvly-", "fw_", "ya29.", "xox", "sess-", "dapi",
    "github_pat_",
)  # fmt: skip

_NAME = r"(?:x-)?(?:api|access|auth|secret|client|private|subscription)[-_ ]?(?:key|token|secret)"
_TOKEN = r"(?-i:(?=[^\s\"'<>,;&]{0,400}(?:[\d*]|[a-z][A-Z])))[^\s\"'<>,;&\\]{6,}"
_GIVEN = re.compile(
    rf"\b(?:(?P<scheme>(?:bearer|basic)\s+[\"']?){_TOKEN}|"
    rf"(?P<name>{_NAME}[\"'\\]{{0,3}}\s?[:=]\s?[\"'\\]{{0,3}}(?:(?:bearer|basic|token|key)\s+)?){_TOKEN}|"
    r"(?P<header>(?:proxy-)?authorization[\"'\\]{0,3}\s?[:=]\s?[\"'\\]{0,3}(?:\w{1,16}[ \t]+(?=\S{3}))?)"
    rf"(?:{_TOKEN}|[^\s\"'<>,;&\\]{{3,}}(?=[ \t]{{0,4}}(?:[\"'\\\r\n,}}]|$)))|"
    r"(?P<setting>(?:password|passwd|token|secret|key)(?:[\"'\\]{1,3}\s?[:=]|=)\s?[\"'\\]{0,3})[^\s\"'<>,;&\\]{4,})|"
    r"(?P<query>[?&][\w-]{0,24}(?:sig|signature|code|credential)=)[^\s&\"'<>]+|"
    r"(?P<url>://)[^\s/@:\"']{0,64}:[^\s/@\"']{1,200}(?=@)",
    re.IGNORECASE,
)
"""What headers, queries and settings call a secret, and the secret behind it."""

_CUES = ("key", "token", "secret", "passw", "authorization", "bearer", "basic", "sig", "code=", "credential=", "://")
"""A text without any of these holds nothing of that: looking for them takes a tenth of the time."""

_UNSEEN = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_BETWEEN = "\"'`+ "
"""What may stand between two signs of a secret, with line ends, escapes and tags, where a text is split or wrapped."""


def outside_text(text: str, secrets: Iterable[str] | str | None = None, *, max_chars: int = 300) -> str:
    """`text` on one line of at most `max_chars` characters, fit for a terminal, with secrets masked.

    Give the whole text: one that was cut before may end in half of a key. `secrets`: see `mask`.

    >>> outside_text("Incorrect key: sk-12***89\\n  Try again")
    'Incorrect key: *** Try again'
    """
    text = printable(" ".join(mask(text, secrets).split()))
    return text if len(text) <= max_chars else text[: max_chars - 3] + "…"


def mask(text: str, secrets: Iterable[str] | str | None = None) -> str:
    """`text` with its lines as they are, but `secrets`, and what has the form or the name of a key, masked.

    `secrets`: those that the run has. They are found as they are, split by quotes or line ends, URL-encoded, as HTML,
    as escapes of JSON, in base64, and where only their begin is left.

    >>> mask("Basic aHVzaC1odXNoLTE6", "hush-hush-1"), mask("hush%2Dhush%2D1", ["hush-hush-1"])
    ('Basic ***', '***')
    """
    given = (secrets,) if isinstance(secrets, str) else tuple(secrets or ())
    known = _known(given)
    if known and any(cue in text for cue in known.cues):
        text = known.pattern.sub(MASK, text)
    if any(cue in text for cue in _KEY_CUES):
        text = _KEY_LIKE.sub(_unless_within, text)
    low = text.lower()
    return _GIVEN.sub(_named, text) if any(cue in low for cue in _CUES) else text


def _unless_within(key: re.Match[str]) -> str:
    """The mask, except within a word: "task-oriented"."""
    before = key.string[key.start() - 1 : key.start()]
    return key[0] if before.isalnum() else MASK


def _named(given: re.Match[str]) -> str:
    return next(name for name in given.groups() if name is not None) + MASK


@dataclass(frozen=True)
class _Known:
    """How the run's secrets are found. `cues`: a text without any of them has none of `pattern` in it."""

    pattern: re.Pattern[str]
    cues: tuple[str, ...]


@lru_cache(maxsize=32)
def _known(secrets: tuple[str, ...]) -> _Known | None:
    words = {word for secret in secrets for word in (secret.strip(), *secret.split())}
    words = {word for word in words if word and word.casefold() not in NO_SECRETS}
    forms = [form for word in sorted(words, key=len, reverse=True) for form in _forms_of(word)]
    begins = {begin for word in words for begin in _begins_of(word)}
    return _Known(re.compile("|".join(forms)), (*sorted(begins), "%", "&", "\\", *_UNSEEN)) if forms else None


def _begins_of(secret: str) -> Iterator[str]:
    """What the spellings of a secret begin with, but for those that escape its first signs."""
    yield secret[:UNSPLIT]
    if len(secret) >= SHORT_SECRET:
        yield secret.encode().hex()[:8]
        yield from (part[:4] for part in _in_base64(secret.encode()))


def _forms_of(secret: str) -> Iterator[str]:
    """Patterns of all spellings of a secret."""
    if len(secret) < SHORT_SECRET:
        yield rf"(?<!\w){re.escape(secret)}(?!\w)"
        return
    signs = re.escape("".join(set(_BETWEEN) - set(secret)))
    split = rf"(?:[{signs}\r\n\t{_UNSEEN}]|\\[nrt]|\\(?!u)|</?\w{{1,8}}>){{0,6}}+"
    spelled = [*map(_spellings, secret)]
    yield rf"[{_UNSEEN}]{{0,4}}+".join(spelled[:UNSPLIT]) + split + split.join(spelled[UNSPLIT:])
    yield from (rf"{re.escape(part)}[\w+/=-]{{0,4}}" for part in _in_base64(secret.encode()))
    yield re.escape(secret.encode().hex())
    begin = re.escape(secret[:SHORT_SECRET])
    yield rf"{begin}[^\s\"'<>]{{0,400}}"
    yield rf"{re.escape(secret[: SHORT_SECRET // 2])}[\w-]{{0,4}}(?:[*•…]|\.\.\.)[\w*•….-]*"


def _spellings(sign: str) -> str:
    """A sign itself, or escaped as in a URL, JSON or HTML."""
    code = ord(sign)
    in_url = "".join(f"%(?:25)?{byte:02x}" for byte in sign.encode())
    named = {re.escape(html.escape(sign)), re.escape(sign)}
    return f"(?:{'|'.join(sorted(named))}|(?i:{in_url}|\\\\u{code:04x}|&#0{{0,4}}{code};|&#x0{{0,4}}{code:x};))"


def _in_base64(secret: bytes) -> Iterator[str]:
    """What all texts that hold `secret` have in common in base64, for each of three alignments."""
    for shift, begin in enumerate((0, 2, 3)):
        coded = base64.b64encode(bytes(shift) + secret).decode()[begin : (shift + len(secret)) * 8 // 6]
        yield from {coded, coded.replace("+", "-").replace("/", "_")}
