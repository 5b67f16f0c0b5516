"""From what the fake model says to the body of a chat completion, in the ways of a persona."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from regioncap.captioners.fake.behaviour import Behaviour
from regioncap.captioners.fake.boxes import asks_for_boxes
from regioncap.captioners.fake.dress import DRESSES, Captions, as_json, thoughts
from regioncap.captioners.fake.faults import BROKEN_ENDS
from regioncap.captioners.fake.model import ParsedRequest, matching
from regioncap.captioners.fake.persona import Persona

WITHOUT_TEXT = frozenset({"empty", "safety", "thinking_only"})
OUT_OF_FORM = frozenset({"missing", "extra", "reordered", "zero_labels", "chatter", "escapes"})
"""Faults that a form would forbid."""

REFUSAL = "I'm sorry, but I can't describe this picture."
UPSTREAM = {"code": 502, "message": "Provider returned error"}


@dataclass(frozen=True)
class Reply:
    """An answer: its body, and what it cost in tokens."""

    body: dict[str, Any]
    completion_tokens: int


def tokens_of(text: str) -> int:
    """How many tokens the fake server counts for a text."""
    return -(-len(text) // 4)


def completion(text: str, finish_reason: str = "stop", prompt_tokens: int = 1, **fields: Any) -> dict[str, Any]:
    """The body of a chat completion; `fields` are added at its top."""
    tokens = tokens_of(text)
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": usage(prompt_tokens, tokens),
        **fields,
    }


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Tokens as OpenAI counts them."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def reply_to(request: ParsedRequest, behaviour: Behaviour, fault: str, **fields: Any) -> Reply:
    """The answer to `request`, with `fault` in it; `fields` are added at the top of its body."""
    persona = behaviour.persona
    captions = captions_for(request, fault, behaviour)
    if asks_for_boxes(request) and behaviour.boxes.ends_early:
        fault = fault or "length"
    fault = _of_thinking(fault, persona, request.max_tokens)
    text = text_of(request, captions, behaviour, fault)
    if fault in BROKEN_ENDS:
        text = text[: max(1, 2 * len(text) // 3)]
    message, tokens = _message(persona, text, fault, captions)
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": _finish(persona, fault)}
    body: dict[str, Any] = {"object": "chat.completion", "choices": [choice], **fields}
    if fault == "error_finish":
        choice["error"] = UPSTREAM
    elif fault == "error_in_200":
        body = {"error": UPSTREAM, **fields}
    return Reply(body | _usage(request.tokens, tokens, fault, persona), tokens)


def captions_for(request: ParsedRequest, fault: str, behaviour: Behaviour) -> Captions:
    """What the model says of each region, by the number that it gives it."""
    captions = _said(request, behaviour)
    if fault == "missing" and captions:
        captions.pop(len(captions) // 2)
    elif fault == "extra":
        number = max(request.numbers, default=0) + 1
        captions.append((number, behaviour.caption(request.pictures, number)))
    elif fault == "reordered":
        captions.reverse()
    elif fault == "zero_labels":
        captions = [(number - 1, text) for number, text in captions]
    elif fault == "escapes":
        captions = [(number, f"\x1b[31m{text}\x1b[0m\x07") for number, text in captions]
    return captions


def _said(request: ParsedRequest, behaviour: Behaviour) -> list[tuple[int, str]]:
    if behaviour.sight is not None:
        return list(behaviour.sight.describe(request).items())
    return [(number, behaviour.caption(request.pictures, number)) for number in request.numbers]


def text_of(request: ParsedRequest, captions: Captions, behaviour: Behaviour, fault: str) -> str:
    """The answer in the form that the server enforces, else in the persona's dress."""
    if fault in WITHOUT_TEXT:
        return ""
    if fault == "refusal":
        return REFUSAL
    forms = {name: form for name, form in request.forms.items() if name in behaviour.forms}
    schema = forms.pop("json_schema", None)
    if asks_for_boxes(request):
        text = behaviour.boxes.answer(request, behaviour.model)
    elif forms and fault not in OUT_OF_FORM:
        return matching(next(iter(forms.values())), dict(captions))
    elif schema:
        text = _in_schema(schema, captions, whole=fault not in OUT_OF_FORM)
    else:
        text = DRESSES[behaviour.persona.dress](captions)
    if fault == "chatter":
        return f"Sure! Here are the captions:\n\n{text}\n\nLet me know if you want more detail!"
    return text


def _in_schema(schema: Mapping[str, Any], captions: Captions, *, whole: bool) -> str:
    texts = {f"region{number}": text for number, text in captions}
    if not whole:
        return as_json(captions)
    return orjson.dumps({name: texts.get(name, "a word") for name in schema["properties"]}).decode()


def _of_thinking(fault: str, persona: Persona, max_tokens: int) -> str:
    """The fault that it is to think for longer than an answer may be."""
    if persona.thinking < max_tokens:
        return fault
    return "think_cut" if persona.reasoning == "tags" else "thinking_only"


def _message(persona: Persona, text: str, fault: str, captions: Captions) -> tuple[dict[str, Any], int]:
    """The message, and its tokens with those of the reasoning."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    thinking, reasoning = persona.thinking, thoughts(captions)
    if fault == "think_cut":
        message["content"] = (persona.open or "<think>\n") + reasoning
        return message, tokens_of(message["content"])
    if text:
        text = persona.before + text + persona.after
    if thinking and persona.reasoning == "tags":
        text, thinking = f"{persona.open}{reasoning}{persona.close}{text}", 0
    message["content"] = None if fault == "safety" else text
    if thinking and persona.reasoning == "part":
        part = {"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]}
        message["content"] = [part, {"type": "text", "text": text}]
    elif thinking and persona.reasoning != "hidden":
        message[persona.reasoning] = reasoning
    return message, tokens_of(text) + thinking


def _finish(persona: Persona, fault: str) -> str:
    ends = {"safety": "content_filter", "thinking_only": "length", **BROKEN_ENDS}
    return ends.get(fault, persona.stop)


def _usage(prompt: int, tokens: int, fault: str, persona: Persona) -> dict[str, Any]:
    if fault == "no_usage":
        return {}
    counted: dict[str, Any] = usage(prompt, tokens)
    if fault == "odd_usage":
        counted = {name: f"{count}.0" for name, count in counted.items()}
    elif persona.thinking:
        counted["completion_tokens_details"] = {"reasoning_tokens": persona.thinking}
    return {"usage": counted}
