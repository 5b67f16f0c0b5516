"""People's corrections in step 6: their texts take the place of the model's, and what they rejected is asked for again.

Approved and edited captions are final: nothing is requested for them, and nothing replaces them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from regioncap.captioners.base import CaptionRequest, CaptionResult
from regioncap.errors import RowReject
from regioncap.inputs.edits import Edit
from regioncap.records import Row
from regioncap.run.context import RunContext
from regioncap.run.in_flight import PendingAnswer
from regioncap.tasks.answers import requests_for_rejected, send_for


@dataclass(frozen=True)
class Corrections:
    """What people decided on a row: its `edits`, and what was `requested` in place of captions that they rejected; by
    region number."""

    edits: Mapping[int, Edit]
    requested: Mapping[int, PendingAnswer]


NO_CORRECTIONS = Corrections({}, {})


def corrections_of(row: Row, context: RunContext) -> Corrections:
    """What people decided on a drawn row. Requests other captions where they rejected some."""
    requests = requests_for_rejected(row, context)
    return Corrections(
        context.edits.of_row(row), {request.wanted[0]: _send(row, request, context) for request in requests}
    )


def _send(row: Row, request: CaptionRequest, context: RunContext) -> PendingAnswer:
    try:
        return send_for(row, request, context)
    except RowReject as reject:  # the prompt for one region uses a key that this row lacks
        nothing: Future[CaptionResult] = Future()
        nothing.set_result(CaptionResult({}, code=reject.code, message=reject.message))
        return PendingAnswer(row, "", nothing)


@dataclass
class Corrected:
    """The captions of a row with people's corrections. `held`: all that are missing are so until something changes."""

    captions: dict[int, str]
    usage: Counter[str]
    warnings: list[str]
    problems: list[str] = field(default_factory=list)
    held: bool = True

    def add_again(self, number: int, edit: Edit, result: CaptionResult) -> None:
        """Add what came when the rejected caption of region `number` was asked for again."""
        self.usage.update(result.usage)
        self.warnings += result.warnings
        caption = result.captions.get(number)
        if caption is None:
            self.problems.append(f"the caption of region {number} was rejected, and no other came: {result.message}")
            self.held = self.held and result.on_hold
        elif edit.rejects(caption):
            self.problems.append(
                f"the caption of region {number} was rejected, and the model gave the same once more; edit it, or "
                "change the prompt or the model"
            )
        else:
            self.captions[number] = caption


def corrected(result: CaptionResult, edits: Mapping[int, Edit], rejected: Mapping[int, CaptionResult]) -> CaptionResult:
    """A row's `result` with people's corrections. `rejected`: what came for the captions that they rejected."""
    if not edits:
        return result
    open_captions = {number: text for number, text in result.captions.items() if number not in edits}
    made = Corrected(open_captions, Counter(result.usage), list(result.warnings))
    for number, edit in edits.items():
        if edit.final:
            made.captions[number] = edit.caption
        elif number in rejected:
            made.add_again(number, edit, rejected[number])
    code = result.code or ("captions_incomplete" if made.problems else None)
    message = "; ".join([*filter(None, [result.message]), *made.problems])
    held = made.held and (result.on_hold or result.code is None)
    return CaptionResult(made.captions, dict(made.usage), made.warnings, code, message, on_hold=held)


def captioned_row(row: Row, prompt: str, result: CaptionResult, edits: Mapping[int, Edit]) -> Row:
    """A row as step 6 has it, given its whole `result`, with people's `edits` in it. `prompt`: what was asked with."""
    made: Row = {
        "captions": [result.captions[number] for number in sorted(result.captions)],
        "prompt": prompt,
        "usage": result.usage,
    }
    if result.warnings:
        made["warnings"] = result.warnings
    if edits:
        made["edited"] = [edits[n].mark if n in edits else None for n in range(1, row["valid_bboxes_num"] + 1)]
    return made
