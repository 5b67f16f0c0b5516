"""How the fake server acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regioncap.captioners.fake.batch_behaviour import BatchBehaviour
from regioncap.captioners.fake.boxes import Boxes
from regioncap.captioners.fake.errors import ScriptedResponse, error
from regioncap.captioners.fake.model import CaptionOf, caption_of
from regioncap.captioners.fake.persona import PLAIN, Persona
from regioncap.captioners.fake.sight import Sight

Script = Callable[[Mapping[str, Any]], ScriptedResponse | None]
"""Given the body of a request, the response to it; None for the usual one."""


@dataclass(frozen=True)
class Behaviour:
    """How the server acts.

    `persona`: whom it imitates. `latency`: seconds a request takes in a slot. `beat`: seconds between the moments at
    which answers leave, all that are ready at once; 0 for each as it is ready. `faults`: share of the requests by name,
    see `FAULTS`. `credits_after`, `loading`: see `SCHEDULED`. `structure`: the forms that it enforces, of
    `FORMS`, or `none`; None for the persona's. `max_model_len`: tokens of picture, prompt and answer, more are
    refused. `max_waiting`: answer 429 when this many requests are queued. `retry_after`: seconds until the next try
    that errors ask for; `retry_form`: how, of `errors.WAITS`, None for the persona's way. `key`: required of clients.
    `metrics`: whether it reports its queue, if the persona does. `caption`: what the model says; `sight`: the
    model sees, and says that instead. `script`: see `Script`; its responses are not counted as answers.
    `boxes`: how it answers where it is asked for boxes. `batch`: how files and batches are dealt with; only where the
    persona has such.
    """

    model: str = "fake-vlm"
    persona: Persona = PLAIN
    slots: int = 32
    latency: float = 0.8
    beat: float = 0.0
    faults: Mapping[str, float] = field(default_factory=dict)
    credits_after: float | None = None
    loading: float = 0.0
    seed: int = 0
    structure: tuple[str, ...] | None = None
    max_model_len: int = 32_768
    max_waiting: int | None = None
    retry_after: float = 1.0
    retry_form: str | None = None
    key: str | None = None
    metrics: bool = True
    caption: CaptionOf = caption_of
    sight: Sight | None = None
    script: Script | None = None
    boxes: Boxes = field(default_factory=Boxes)
    batch: BatchBehaviour = field(default_factory=BatchBehaviour)

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms that it holds its model to."""
        return self.persona.enforces if self.structure is None else self.structure

    @property
    def prefix(self) -> str:
        """What its paths begin with."""
        return self.persona.prefix.format(model=self.model)

    def error(self, kind: str, **values: object) -> ScriptedResponse:
        """The error `kind` in the persona's words. `values`: what they name."""
        persona = self.persona
        wait = self.retry_form or persona.wait
        return error(persona.errors, kind, wait=wait, retry=self.retry_after, **{"model": self.model, **values})
