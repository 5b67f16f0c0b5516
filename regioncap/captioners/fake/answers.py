"""What the fake model does with the body of a request, whichever way that came: parse it, draw its fault, answer it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any

from regioncap.captioners.fake.behaviour import Behaviour
from regioncap.captioners.fake.faults import fault_of
from regioncap.captioners.fake.model import BadRequest, ParsedRequest, parse_request
from regioncap.captioners.fake.parameters import check_fields
from regioncap.captioners.fake.replies import Reply, reply_to
from regioncap.captioners.fake.stats import Stats


class Answers:
    """The model's answers, and what it draws for them. `seed`: for the faults."""

    def __init__(self, seed: int, stats: Stats) -> None:
        self._stats = stats
        self._random = random.Random(seed)
        self._times: Counter[str] = Counter()
        """How often each request came, by its digest."""

    async def parsed(self, body: dict[str, Any], digest: str, behaviour: Behaviour) -> ParsedRequest:
        """What is asked for. Raises BadRequest for what the persona refuses, KeyError and its kin for what is none."""
        self._times[digest] += 1
        asking = f"{digest} {self._times[digest]}"
        persona = behaviour.persona
        if str(body.get("model")).removeprefix("models/") != behaviour.model:
            raise BadRequest("unknown model", "model", value=body.get("model"))
        check_fields(persona, body)
        parsed = await asyncio.get_running_loop().run_in_executor(None, parse_request, body)
        if persona.refuses:
            raise BadRequest(persona.refuses, persona.refuses)
        if persona.max_images is not None and len(parsed.pictures) > persona.max_images:
            raise BadRequest("too many pictures", "images", value=persona.max_images)
        if parsed.tokens + parsed.max_tokens > behaviour.max_model_len:
            raise BadRequest(
                f"This model's maximum context length is {behaviour.max_model_len} tokens. However, you requested "
                f"{parsed.max_tokens} output tokens and your prompt contains {parsed.tokens} input tokens.",
                "context",
            )
        return replace(parsed, asking=asking)

    def fault(self, parsed: ParsedRequest, behaviour: Behaviour) -> str:
        """What goes wrong with it, of `FAULTS`; "" for nothing. It is counted."""
        if behaviour.credits_after is not None and self._stats.billed.requests >= behaviour.credits_after:
            fault = "credits"
        else:
            of_picture = random.Random(f"{behaviour.seed} {parsed.pictures[0]}").random()
            fault = fault_of(behaviour.faults, self._random.random(), of_picture)
        if fault:
            self._stats.faults[fault] += 1
        return fault

    def reply(self, parsed: ParsedRequest, digest: str, fault: str, behaviour: Behaviour) -> Reply:
        """The answer, with `fault` in it."""
        return reply_to(parsed, behaviour, fault, id=f"fake-{digest[:12]}", model=behaviour.model)
