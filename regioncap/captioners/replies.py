"""Replies as they are stored with an answer, so that better rules can read them again without asking the model.

A reply that was masked or shortened is stored for people to look at, and never read again: what is missing of it might
be what made a caption right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from regioncap.captioners.chat import REGIONS, ChatRequest, ChatResponse, Ending
from regioncap.captioners.reading.parsing import Parsed, is_caption, read_reply
from regioncap.captioners.reading.reasoning import without_reasoning
from regioncap.masking import mask, outside_text
from regioncap.records import dumps

MAX_BYTES = 64 * 1024
"""Of the text of one stored reply, as UTF-8."""

MAX_CHARS = 1_000_000
"""Of all replies of one answer. A row that fails again and again must not make its answer grow for ever."""

QUOTED_CHARS = 80

OPEN_REASONING, MASKED, SHORTENED = "reasoning", "masked", "shortened"


def parse_response(response: ChatResponse, wanted: Sequence[int], mode: str = "marks") -> Parsed:
    """The captions in a response that asked for `wanted`: none if it was refused, or may not be complete. `mode`: the
    request's; where that asked for regions, the one "caption" is the whole text."""
    ending = response.ending
    if ending is Ending.REFUSED:
        return Parsed({})
    # Without a word for its end, what structure closes is complete all the same.
    closed = ending is Ending.ABSENT and response.structured
    if ending not in (Ending.COMPLETE, Ending.CUT) and not closed:
        return Parsed({}, _ending_unclear(response))
    if mode == REGIONS:
        said = (without_reasoning(response.text) or "").strip()
        return Parsed({1: said} if said else {})
    cut = ending is not Ending.COMPLETE
    return read_reply(response.text, wanted, cut=cut, structured=response.structured)


def _ending_unclear(response: ChatResponse) -> str:
    word = response.word[:QUOTED_CHARS]
    return f"its finish_reason {word!r} does not say whether it is complete; accept_finish_reasons={word} takes it so"


def _captions(response: ChatResponse, wanted: Sequence[int], mode: str) -> dict[int, str]:
    return parse_response(response, wanted, mode).captions


@dataclass(frozen=True)
class Reply:
    """A response as it is stored.

    `text`: without reasoning. `finish`: the server's word for its end. `ended`: what that meant when it came, a value
    of `Ending`. `wanted`: the region numbers (from 1) asked for. `form`: what the server held it to, see
    `ChatResponse`. `mode`, `temperature_offset`: see `ChatRequest`. `altered`: "" if the text is whole; `reasoning` if
    it has its reasoning, since that never ended; `masked` if it had secrets; `shortened` if it was too long.
    """

    text: str
    finish: str
    ended: str
    wanted: tuple[int, ...]
    form: str = "none"
    mode: str = "marks"
    temperature_offset: float = 0.0
    altered: str = ""

    @classmethod
    def of(cls, asked: ChatRequest, response: ChatResponse) -> Reply:
        """What is stored of `response`."""
        bare = without_reasoning(response.text)
        if bare is None:
            text, altered = response.text, OPEN_REASONING
        elif bare != response.text and _captions(replace(response, text=bare), asked.wanted, asked.mode) != _captions(
            response, asked.wanted, asked.mode
        ):
            # What is left looks like reasoning, too.
            text, altered = response.text, ""
        else:
            text, altered = bare, ""
        masked = mask(text)
        altered = altered if masked == text else MASKED
        text = _shortened(masked)
        finish = response.finish_reason
        if response.ending in (Ending.FAILED, Ending.UNKNOWN):  # it may be anything
            finish = outside_text(finish, max_chars=QUOTED_CHARS)
        return cls(
            text, finish, response.ending.value, asked.wanted, response.form, asked.mode, asked.temperature_offset,
            altered if text == masked else SHORTENED,
        )  # fmt: skip

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Reply:
        """The reply that `as_json` gave. Raises KeyError, TypeError when it is another object."""
        known = {name: value[name] for name in _FIELDS if name in value}
        return cls(**{**known, "wanted": tuple(value["wanted"])})

    def as_json(self) -> dict[str, Any]:
        """The reply as a JSON object; without `altered` if it is whole."""
        found = {name: getattr(self, name) for name in _FIELDS if name != "altered" or self.altered}
        return {**found, "wanted": list(self.wanted)}

    @property
    def readable(self) -> bool:
        """Whether it may be read again."""
        # What a model says of regions is read with all doubt anyway, box by box.
        return self.mode == REGIONS or self.altered not in (MASKED, SHORTENED)

    def read(self, accepted_words: Iterable[str] = ()) -> dict[int, str]:
        """The captions in it, by region number, under today's rules. `accepted_words`: see `accept_finish_reasons`."""
        response = ChatResponse(
            self.text,
            self.finish,
            declined=self.ended == Ending.REFUSED.value,
            form=self.form,
            accepted=self.finish.casefold() in accepted_words,
        )
        return _captions(response, self.wanted, self.mode)


_FIELDS = tuple(Reply.__dataclass_fields__)


def _shortened(text: str) -> str:
    encoded = text.encode("utf-8", "surrogatepass")
    return text if len(encoded) <= MAX_BYTES else encoded[:MAX_BYTES].decode("utf-8", "ignore")


def read_again(
    captions: Mapping[int, str], replies: Iterable[Mapping[str, Any]], accepted_words: Collection[str] = ()
) -> dict[int, str]:
    """The captions, by region number, that today's rules find in stored `replies` (in the order in which they were
    asked for: the first that has a region's counts).

    `captions`: those accepted before. One whose reply is not stored whole stays if it is a caption just as it is.
    `accepted_words`: see `accept_finish_reasons`. Raises KeyError, TypeError when a reply is no reply.
    """
    found: dict[int, str] = {}
    readable: set[int] = set()
    unreadable: set[int] = set()
    for reply in map(Reply.of_json, replies):
        (readable if reply.readable else unreadable).update(reply.wanted)
        found = {**(reply.read(accepted_words) if reply.readable else {}), **found}
    sourceless = captions.keys() - (readable - unreadable)
    kept = {number: captions[number] for number in sourceless if is_caption(captions[number])}
    return dict(sorted({**kept, **found}.items()))


def joined(*several: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stored replies in this order, each once; if they are too long, the first ones that give nothing are left out."""
    replies = list({dumps(reply): reply for some in several for reply in some}.values())
    return replies if _chars(replies) <= MAX_CHARS else _fewer(replies)


def _fewer(replies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    useless = [reply for reply in replies if not Reply.of_json(reply).read([reply["finish"].casefold()])]
    while useless and _chars(replies) > MAX_CHARS:
        replies.remove(useless.pop(0))
    return replies


def _chars(replies: Iterable[dict[str, Any]]) -> int:
    return sum(len(reply["text"]) for reply in replies)
