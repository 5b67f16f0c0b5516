"""What becomes of one line of a batch: the answer that its body would get online, or an error."""

from __future__ import annotations

import hashlib
import random
import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from regioncap.captioners.fake.answers import Answers
from regioncap.captioners.fake.behaviour import Behaviour
from regioncap.captioners.fake.errors import ScriptedResponse
from regioncap.captioners.fake.faults import STATUSES, draw_fault
from regioncap.captioners.fake.model import BadRequest
from regioncap.captioners.fake.stats import Stats

UNDONE = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed because the batch was cancelled.",
    "request_timeout": "The underlying call to the model timed out.",
}
"""By code: what the error file says of a line that has no response."""


@dataclass(frozen=True)
class Result:
    """A line of the output file (`status` 200) or of the error file. `status`: of the response, or the code of an
    error without one. `prompt_tokens`, `completion_tokens`: what it cost."""

    status: str
    line: bytes
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def good(self) -> bool:
        """Whether it stands in the output file."""
        return self.status == "200"


def undone(custom_id: str, code: str) -> Result:
    """A line that the model was not asked, or did not answer. `code`: of `UNDONE`."""
    return Result(code, _line(custom_id, None, {"code": code, "message": UNDONE[code]}))


def digest_of_body(body: dict[str, Any]) -> str:
    """What identifies a body: the sha256 of it as RegionCap sends it online."""
    return hashlib.sha256(orjson.dumps(body)).hexdigest()


class LineAnswers:
    """Answers lines. `stats`: where they are counted."""

    def __init__(self, answers: Answers, stats: Stats) -> None:
        self._answers = answers
        self._stats = stats

    async def answer(self, custom_id: str, body: dict[str, Any], behaviour: Behaviour, *, fails: bool) -> Result:
        """What becomes of the line. `fails`: whether it may be one of those that fail as `BatchBehaviour.fails` has
        it."""
        counts = self._stats.batches
        drawn = random.Random(f"{behaviour.seed} {custom_id} {counts.submitted[custom_id]}").random()
        fault = draw_fault(behaviour.batch.fails, drawn) if fails else ""
        result = await (self._failed(custom_id, fault, behaviour) if fault else self._asked(custom_id, body, behaviour))
        if result.good:
            counts.answered[custom_id] += 1
            counts.billed.add(result.prompt_tokens, result.completion_tokens)
            self._stats.record_cost(digest_of_body(body), result.prompt_tokens, result.completion_tokens, seen=True)
        return result

    async def _failed(self, custom_id: str, fault: str, behaviour: Behaviour) -> Result:
        if fault in UNDONE:
            return undone(custom_id, fault)
        kind = "request" if fault == "400" else fault
        return _refused(custom_id, behaviour.error(kind, detail="This request could not be processed."))

    async def _asked(self, custom_id: str, body: dict[str, Any], behaviour: Behaviour) -> Result:
        digest = digest_of_body(body)
        try:
            parsed = await self._answers.parsed(body, digest, behaviour)
            fault = self._answers.fault(parsed, behaviour)
            if fault in STATUSES:
                return _refused(custom_id, behaviour.error(fault))
            if fault == "hang":
                return undone(custom_id, "request_timeout")
            scripted = behaviour.script(body) if behaviour.script is not None else None
            if scripted is not None:
                return _refused(custom_id, scripted)
            # Faults of a connection change nothing here: a batch has none.
            reply = self._answers.reply(parsed, digest, fault, behaviour)
        except BadRequest as error:
            return _refused(custom_id, behaviour.error(error.kind, **error.values))
        except (KeyError, TypeError, ValueError) as error:
            return _refused(custom_id, behaviour.error("request", detail=str(error)))
        return Result("200", _response(custom_id, 200, reply.body), parsed.tokens, reply.completion_tokens)


def _refused(custom_id: str, response: ScriptedResponse) -> Result:
    return Result(str(response.status), _response(custom_id, response.status, response.body))


def _response(custom_id: str, status: int, body: Any) -> bytes:
    return _line(custom_id, {"status_code": status, "request_id": uuid.uuid4().hex, "body": body}, None)


def _line(custom_id: str, response: dict[str, Any] | None, error: dict[str, str] | None) -> bytes:
    line = {"id": f"batch_req_{uuid.uuid4().hex}", "custom_id": custom_id, "response": response, "error": error}
    return orjson.dumps(line) + b"\n"
