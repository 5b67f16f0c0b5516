"""What a persona of the fake server is: how a server that people have differs from OpenAI's interface, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from regioncap.captioners.fake.errors import Errors


@dataclass(frozen=True)
class Persona:
    """A server's ways. `imitates`: which, and what is its own. `flags`: what a run needs against it, as a shell has it.

    Requests. `prefix`: of its paths. `auth`: the header that has the key. `query`: names that its URLs need. `fields`:
    what a request may have, None for anything; `unsupported`: what it may not, and what is said of it. `temperature`:
    lowest and highest. `formats`: types of `response_format`; `enforces`: which forms it holds its model to, of
    `FORMS`. `max_images`, `max_body` (bytes): of a request. `refuses`: the error that every request gets.

    Answers. `dress`: how captions are written where no form is enforced, of `DRESSES`. `thinking`: tokens of
    reasoning; `reasoning`: where it goes: `hidden`, the name of a field of the message, `part` of the content, or
    `tags` (in the text, between `open` and `close`). `before`, `after`: tokens around the text. `stop`: the word for an
    answer that is whole. `padding`: before the JSON, so that the connection stays open.

    Errors. `errors`: by kind, see `errors.STANDARD`. `wait`: how a header says when to try again, of `WAITS`.
    `waits_to_load`: requests that come while the model loads wait, and get no error.

    Around. `lists`: the name of a model in its list; "" where there is no list; `list_refused`: the key may not see it.
    `metrics`: the family whose metrics it reports; "" for none.
    `batches`: whether it has OpenAI's Files and Batches endpoints.
    """

    imitates: str
    flags: str = ""
    prefix: str = "/v1"
    auth: str = "Authorization"
    query: tuple[str, ...] = ()
    fields: frozenset[str] | None = None
    unsupported: Mapping[str, str] = field(default_factory=dict)
    temperature: tuple[float, float] = (0.0, 2.0)
    formats: tuple[str, ...] = ("text", "json_object", "json_schema")
    enforces: tuple[str, ...] = ("json_schema",)
    max_images: int | None = None
    max_body: int | None = None
    refuses: str = ""
    dress: str = "lines"
    thinking: int = 0
    reasoning: str = "hidden"
    open: str = "<think>\n"
    close: str = "\n</think>\n\n"
    before: str = ""
    after: str = ""
    stop: str = "stop"
    padding: str = ""
    errors: Errors = field(default_factory=dict)
    wait: str = "seconds"
    waits_to_load: bool = False
    lists: str = "{model}"
    list_refused: bool = False
    metrics: str = ""
    batches: bool = False


PLAIN = Persona(
    "no server in particular: refuses no parameter, holds its model to every form, reports its queue as vLLM does",
    enforces=("regex", "json_schema"),
    metrics="vllm",
    batches=True,
)
