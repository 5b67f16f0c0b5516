"""What is said about one row: which regions are asked for, together or one by one, until each has its caption."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from tasks.captioners.base import CaptionRequest, CaptionResult
from tasks.captioners.endpoint import Ask, Refused, Reply, TryAgain
from tasks.captioners.parsing import is_refusal, parse
from tasks.captioners.pictures import closer_views, plain_picture
from tasks.captioners.prompts import Prompts, label, of_part, only
from tasks.config import RegionCapConfig

WARMER = 0.3
"""Added to the temperature with each repair: the same question at 0 would give the same answer."""

Send = Callable[[Ask], Awaitable[Reply]]
"""Has a request answered by some server. Raises Refused, TryAgain when tries are used up, RunStopped."""


class _Told:
    """What has come for one row, and the keeping of it.

    Kept by one at a time, each with all that is there by then: what is kept first must not replace what came later.
    `keeping`: has the tasks that keep something. They go on when the row is given up: what they keep was paid for.
    """

    def __init__(self, keep: Callable[[CaptionResult], object] | None, keeping: set[asyncio.Task[None]]) -> None:
        self.result = CaptionResult({})
        self.usage: Counter[str] = Counter()
        self._keep = keep
        self._keeping = keeping
        self._one_at_a_time = asyncio.Lock()
        self._kept = 0

    async def keep(self, failed: bool = False) -> None:
        """Returns when all captions that are there now are kept. `failed`: and that the rest does not come, by the
        row's own fault."""
        if self._keep is not None:
            task = asyncio.create_task(self._keep_now(self._keep, failed))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)
            await asyncio.shield(task)

    async def _keep_now(self, keep: Callable[[CaptionResult], object], failed: bool) -> None:
        async with self._one_at_a_time:
            result, count = self.result, len(self.result.captions)
            if count > self._kept or failed:
                so_far = replace(
                    result, captions=dict(result.captions), usage=dict(self.usage), warnings=list(result.warnings)
                )
                await asyncio.to_thread(keep, so_far)
                self._kept = count


class Asking:
    """Composes the requests of a row, reads the answers and asks again for what is missing.

    `count`: adds to the run's bill by name.
    """

    def __init__(self, config: RegionCapConfig, prompts: Prompts, count: Callable[..., None]) -> None:
        self._config = config
        self._prompts = prompts
        self._count = count
        self._keeping: set[asyncio.Task[None]] = set()

    async def all_kept(self) -> None:
        """Returns when all that came is kept, of rows that were given up too."""
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def captions(self, request: CaptionRequest, send: Send) -> CaptionResult:
        """Ask until no region is missing, or repairs are used up. Raises RowReject, and RunStopped from `send`."""
        so_far = _Told(request.keep, self._keeping)
        result, usage = so_far.result, so_far.usage
        trouble = ""
        for repair in range(self._config.max_repairs + 1):
            missing = tuple(number for number in request.wanted if number not in result.captions)
            if not missing:
                break
            focal = self._prompts.mode == "focal" or (self._prompts.mode == "auto" and repair > 0) or request.again
            asks = await asyncio.to_thread(self._asks, request, missing, focal, repair)
            told = await asyncio.gather(
                *(self._one(request, ask, send, so_far, repair) for ask in asks), return_exceptions=True
            )
            for outcome in told:
                if isinstance(outcome, TryAgain):
                    result.code, result.message = (
                        "caption_failed",
                        f"sent several times, without an answer: {outcome.reason}",
                    )
                elif isinstance(outcome, Refused):
                    result.code, result.message = "caption_failed", f"the server refused it: {outcome.reason}"
                    result.own_fault = True
                elif isinstance(outcome, BaseException):
                    raise outcome
                elif outcome:
                    trouble = outcome
            if result.code is not None:
                break
        missing = tuple(number for number in request.wanted if number not in result.captions)
        if not missing:
            result.code, result.message, result.own_fault = None, "", False
        elif result.code is None:
            names = ", ".join(map(label, missing))
            result.code, result.own_fault = "captions_incomplete", True
            result.message = f"no caption for {names} after {usage['requests']} requests; {trouble}"
        result.usage = dict(usage)
        if result.own_fault:
            await so_far.keep(failed=True)
        return result

    def _asks(self, request: CaptionRequest, missing: tuple[int, ...], focal: bool, repair: int) -> list[Ask]:
        """The requests that would fill what is missing: one for each picture that shows some of it, or one a region."""
        # In focal mode the same was asked before.
        steps = repair + 1 if request.again and self._prompts.mode == "focal" else repair
        system, warmer = self._prompts.system_text(request.fields), WARMER * steps
        asks = []
        for part in request.shown():
            wanted = tuple(number for number in part.regions if number in missing)
            if not wanted:
                continue
            marked = part.marked()
            if focal:
                views = zip(wanted, self._views(request, wanted), strict=True)
                asks += [Ask(system, self._focal(request, n), (marked, view), (n,), warmer) for n, view in views]
            else:
                text = marks_question(self._prompts, request, part.regions, wanted)
                asks.append(Ask(system, text, (marked,), wanted, warmer))
        return asks

    def _focal(self, request: CaptionRequest, number: int) -> str:
        return self._prompts.focal_text(number, len(request.bbox), request.fields, request.region_fields)

    def _views(self, request: CaptionRequest, wanted: tuple[int, ...]) -> list[bytes]:
        return closer_views(
            request.image(), [request.bbox[number - 1] for number in wanted], (request.width, request.height),
            max_pixels=self._config.max_pixels // 4, max_image_pixels=self._config.max_image_pixels,
        )  # fmt: skip

    async def _one(self, request: CaptionRequest, ask: Ask, send: Send, so_far: _Told, repair: int) -> str:
        """One request: what it tells goes into `so_far` and is kept at once. Gives what was wrong with it."""
        reply = await send(ask)
        result, usage = so_far.result, so_far.usage
        usage.update(requests=1, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens)
        found = {} if reply.refused else parse(reply.text, ask.wanted, cut=reply.cut, structured=reply.structured)
        if found:
            if repair or request.again:
                usage["repaired"] += len(found)
                self._count(captions_repaired=len(found))
            result.captions.update(found)
            most = self._config.max_caption_chars
            ended = [number for number, text in found.items() if most is not None and len(text) >= most]
            result.warnings += [f"caption of {label(number)} ends at max_caption_chars={most}" for number in ended]
            await so_far.keep()
        if len(found) == len(ask.wanted):
            return ""
        begin = " ".join(reply.text[:80].split())
        if reply.refused or is_refusal(reply.text):
            return f"the model refused: {begin!r}"
        if reply.cut:
            return f"the answer was cut at max_tokens={self._config.max_tokens}; it began {begin!r}"
        return f"the last answer began {begin!r}"


def marks_question(prompts: Prompts, request: CaptionRequest, shown: Sequence[int], wanted: Sequence[int]) -> str:
    """What is asked about `wanted` of the regions that a picture shows, both numbers from 1."""
    count = len(request.bbox)
    text = prompts.marks_text(count, request.fields, request.region_fields)
    if len(shown) < count:
        text = f"{text}\n{of_part(shown)}"
    return text if len(wanted) == len(shown) else f"{text}\n{only(wanted)}"


def largest_ask(config: RegionCapConfig, prompts: Prompts) -> Ask:
    """The largest request that rows of this config can lead to, with a plain picture."""
    fields = dict.fromkeys(config.prompt_fields(), "…")
    of_regions = [dict.fromkeys(config.region_fields, "…")] * config.max_boxes
    system, picture = prompts.system_text(fields), plain_picture(config.max_pixels)
    if not config.asks_closer:
        shown = config.groups_of(config.max_boxes)[-1]  # the last has the longest numbers, and none has more
        request = CaptionRequest(
            "", bytes, bytes, 0, 0, [[0.0] * 4] * config.max_boxes, shown, fields=fields, region_fields=of_regions
        )
        return Ask(system, marks_question(prompts, request, shown, shown), (picture,), shown)
    text = prompts.focal_text(1, config.max_boxes, fields, of_regions)
    return Ask(system, text, (picture, plain_picture(config.max_pixels // 4)), (1,))
