"""What a captioner is: pictures with numbered regions in, one caption a region out.

The step `caption` looks up which answers are there, asks a captioner for the rest and keeps what comes. A new
captioner is one class with this contract, one line in `regioncap/registry.py` and the contract test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from regioncap.captioners.access import Access
from regioncap.captioners.allowance import HeldAllowance
from regioncap.captioners.replies import Reply
from regioncap.config.derived import AuditArm
from regioncap.config.model import RegionCapConfig
from regioncap.errors import RejectCode
from regioncap.records import Counts
from regioncap.storage.filesystem import Place

if TYPE_CHECKING:
    from regioncap.captioners.session import CaptionSession


@dataclass(frozen=True)
class Prompt:
    """The texts that go with a picture; "" where there are none."""

    text: str = ""
    system: str = ""


@dataclass(frozen=True)
class MarkGroup:
    """Some of a picture's regions in a picture of their own: `regions`, numbers from 1; `marked`: returns the JPEG."""

    regions: tuple[int, ...]
    marked: Callable[[], bytes]


@dataclass(frozen=True)
class Received:
    """A reply that just came. `order`: of its request among the row's, from 1. Tokens as the server counts them."""

    reply: Reply
    order: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class CaptionRequest:
    """One picture whose regions need captions.

    `name`: identifies the row in messages ("line 17"). `image`, `marked`: return the bytes of the picture as it was
    given (any format) and of the marked JPEG that the model sees; called late, off the caller's thread. `width`,
    `height`: of the picture as displayed, pixels. `picture_wh`: size of the marked JPEG, pixels; None: the same.
    `bbox`: (N, 4) xywh in pixels of the picture as displayed, region i+1 at index i.
    `wanted`: the region numbers (from 1) to caption; the others have captions already. `fields`: the row, for prompt
    templates. `region_fields`: per region, for prompt templates. `parts`: what the model sees instead of `marked` when
    there are more regions than one picture can show; together they have all of them. `claim`: called right before the
    first request is sent: whether it may be sent. False where another run requests the same captions; it may be called
    again then. `on_disk`: whether all that `claim` and `marked` read is on this machine's disk, so that they are best
    called on the event loop's thread: handing them to another takes longer. `record`: takes each reply before anything
    else is done with it, on the event loop's thread, so it must be quick. `keep`: takes the result so far whenever a
    reply came, and at the end when regions are missing by the model's failure. `again`: `wanted` have captions already
    that did not satisfy: they are asked for one by one, with a closer view. `rejected`: the caption of the one wanted
    region that a person rejected; "" if none was. `arm`: an audit asks, and how; None in a run. With `reversed`,
    `wanted` begins with the last region. `question`: what is asked for the picture's regions, which nobody knows yet;
    None where captions are asked for. Then `marked` is the picture without marks, `wanted` is (1,), and the one
    "caption" of the result is all that the model said.
    """

    name: str
    image: Callable[[], bytes]
    marked: Callable[[], bytes]
    width: int
    height: int
    bbox: Sequence[Sequence[float]]
    wanted: tuple[int, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    region_fields: Sequence[Mapping[str, Any]] = ()
    parts: Sequence[MarkGroup] = ()
    claim: Callable[[], bool] | None = None
    record: Callable[[Received], object] | None = None
    keep: Callable[[CaptionResult], object] | None = None
    on_disk: bool = False
    again: bool = False
    picture_wh: tuple[int, int] | None = None
    rejected: str = ""
    arm: AuditArm | None = None
    question: Prompt | None = None

    @property
    def backwards(self) -> bool:
        """Whether the regions are asked for from the last to the first."""
        return self.arm == "reversed"

    @property
    def sample(self) -> int:
        """Which sample of the same answer is wanted: 0 in a run."""
        return 1 if self.arm == "control" else 0

    def shown(self) -> Sequence[MarkGroup]:
        """The pictures that the model sees: one with all regions, or the parts."""
        return self.parts or [MarkGroup(tuple(range(1, len(self.bbox) + 1)), self.marked)]


@dataclass
class CaptionResult:
    """What came back for one request.

    `captions`: accepted text by region number, without the `<regionN>` label; missing regions are not in it.
    `usage`: what these captions cost: `prompt_tokens`, `completion_tokens`, `requests`, `repaired` (regions that came
    only when asked again). `warnings`: sentences for the output row. `code`, `message`: why regions are missing; None
    when none is. `model_failure`: they are missing though the server answered: it refused this request, or its answers
    were unusable. `on_hold`: that happened in too many runs, so nothing was sent. `elsewhere`: nothing was sent, since
    another run requests them, or has got them. `replies`: what came, in the order in which it was asked for, to be read
    again by better rules; empty where that means nothing. `cut`: what was said of a picture's regions ended at its
    limit.
    """

    captions: dict[int, str]
    usage: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    code: RejectCode | None = None
    message: str = ""
    model_failure: bool = False
    on_hold: bool = False
    elsewhere: bool = False
    replies: Sequence[Reply] = ()
    cut: bool = False


@dataclass(frozen=True)
class CaptionerOptions:
    """What a captioner is made from: the config; `access`: reads the credentials for each endpoint when they are
    needed, and raises CaptionerError for one that is missing; `count`: adds to the run's counts, by name, from any
    thread; `cache`: where what was found out about servers is remembered, None for nowhere; `allowance`: what this
    process may send of what the run may; `beside`: another conversation of the process, whose limits are the same."""

    config: RegionCapConfig
    access: Callable[[], Sequence[Access]] = tuple
    count: Callable[[Counts], None] = lambda counts: None
    cache: Place | None = None
    allowance: HeldAllowance = field(default_factory=HeldAllowance)
    beside: CaptionSession | None = None


class Captioner(Protocol):
    """Describes regions. Made once a process, used from many threads at once."""

    name: str
    """The captioner's name in the config: `vllm`, `openai`, `pixels`."""

    model: str
    """The model's name as output rows and the summary give it."""

    paid: bool
    """Whether answers cost something: each is then kept at once, and looked up before it is asked for."""

    def check(self) -> None:
        """Called before a run. Raises UsageError when the captioner cannot work on this machine."""

    def identity(self) -> dict[str, Any]:
        """What decides the text of an answer besides the picture and the prompt: part of the answer's key."""

    def templates(self) -> dict[str, Any]:
        """The templates of all rows' prompts: part of the step's key, not of an answer's."""

    def prompt(self, request: CaptionRequest) -> Prompt:
        """The texts that go with the picture: part of the answer's key. Raises RowReject when the row lacks a field."""

    def get_ready(self) -> None:
        """Called when captions are certain to be needed: what takes time may begin."""

    def submit(self, request: CaptionRequest) -> Future[CaptionResult]:
        """Ask for the captions of `request.wanted`. Never raises for one row: the result's `code` says what failed.

        The future raises `CaptionerError` when no row can be captioned any more (the run stops then).
        """

    def stop_sending(self) -> None:
        """Send nothing more; does not wait for what is in flight, which is kept as it comes."""

    def drain(self) -> None:
        """Send nothing more; returns when what is in flight has come back, and is kept."""

    def close(self) -> None:
        """End what was started; requests in flight are cancelled. May be called twice."""
