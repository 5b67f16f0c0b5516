"""Which requests fill what is missing of a row: one for each picture that shows some of it, or one a region."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from regioncap.captioners.base import CaptionRequest
from regioncap.captioners.box_texts import with_boxes
from regioncap.captioners.chat import REGIONS, ChatRequest
from regioncap.captioners.pictures import closer_views, typical_picture
from regioncap.captioners.prompts import Prompts, of_part, only
from regioncap.config.model import RegionCapConfig

TEMPERATURE_STEP = 0.3
"""Added to the temperature with each repair: the same question at 0 would give the same answer."""

FOCAL_SHARE = 4
"""A closer view has this part of `max_pixels`."""

MIN_CHARS = 4096
"""About a thousand tokens: what is shorter is as good as this long."""


class RowRequests:
    """Composes the requests of rows, by the config's prompts."""

    def __init__(self, config: RegionCapConfig, prompts: Prompts) -> None:
        self._config = config
        self._prompts = prompts

    def compose(self, request: CaptionRequest, missing: Sequence[int], repair: int) -> list[ChatRequest]:
        """The requests that ask for the regions `missing` of a row. `repair`: how often it was asked before.

        Reads pictures; cuts out and encodes closer views. Raises RowReject when a picture cannot be read.
        """
        if request.question is not None:
            asked = request.question
            offset = TEMPERATURE_STEP * repair
            return [ChatRequest(asked.system, asked.text, (request.marked(),), tuple(missing), offset, REGIONS)]
        mode, request = self._prompts.mode, with_boxes(request, self._prompts.coordinates)
        focal = self.look_closer(request, repair)
        # In focal mode the same was asked before, and what was rejected may have come from a closer view in any mode.
        steps = repair + 1 if request.again and (mode == "focal" or request.rejected) else repair
        system = self._prompts.system_text(len(request.bbox), request.fields, request.region_fields, request.backwards)
        offset = TEMPERATURE_STEP * steps
        closer = "again" if request.again else "focal"
        requests = []
        for part in request.shown():
            wanted = tuple(number for number in missing if number in part.regions)
            if not wanted:
                continue
            marked = part.marked()
            if focal:
                views = zip(wanted, self._views(request, wanted), strict=True)
                requests += [
                    ChatRequest(system, self._focal(request, n), (marked, view), (n,), offset, closer, request.sample)
                    for n, view in views
                ]
            else:
                text = marks_question(self._prompts, request, part.regions, wanted)
                requests.append(ChatRequest(system, text, (marked,), wanted, offset, sample=request.sample))
        return requests

    def look_closer(self, request: CaptionRequest, repair: int) -> bool:
        """Whether the requests of `compose` have closer views, which take milliseconds to make."""
        mode = self._prompts.mode
        return mode == "focal" or (mode == "auto" and repair > 0) or request.again

    def _focal(self, request: CaptionRequest, number: int) -> str:
        return self._prompts.focal_text(number, len(request.bbox), request.fields, request.region_fields)

    def _views(self, request: CaptionRequest, wanted: tuple[int, ...]) -> list[bytes]:
        return closer_views(
            request.image(), [request.bbox[number - 1] for number in wanted], (request.width, request.height),
            max_pixels=self._config.max_pixels // FOCAL_SHARE, max_image_pixels=self._config.max_image_pixels,
        )  # fmt: skip


def marks_question(prompts: Prompts, request: CaptionRequest, shown: Sequence[int], wanted: Sequence[int]) -> str:
    """What is asked about `wanted` of the regions that a picture shows, both numbers from 1."""
    count = len(request.bbox)
    text = prompts.marks_text(count, request.fields, request.region_fields, request.backwards)
    if prompts.mode == "coords":
        return text if len(wanted) == count else f"{text}\n{only(wanted)}"
    if len(shown) < count:
        text = f"{text}\n{of_part(shown[::-1] if request.backwards else shown)}"
    return text if len(wanted) == len(shown) else f"{text}\n{only(wanted)}"


class _AnyValue(str):
    """Stands for a value of a row in a template, which may ask for it in a format of numbers."""

    def __format__(self, spec: str) -> str:
        return str(self)


def any_values(names: Iterable[str], word: str) -> dict[str, str]:
    """A row's values under `names`, each `word` in whatever format a template asks for."""
    return dict.fromkeys(names, _AnyValue(word))


def largest_row(config: RegionCapConfig, prompts: Prompts, word: str = "…") -> CaptionRequest:
    """A row with as many regions as a picture can have, for templates. `word`: each value of the row's keys."""
    side = math.isqrt(config.max_pixels)
    return with_boxes(
        CaptionRequest(
            "", bytes, bytes, side, side,
            bbox=[[side - 2.0, side - 2.0, 1.0, 1.0]] * config.max_boxes,
            # The last have the longest numbers, and at no time are more asked for.
            wanted=config.groups_of(config.max_boxes)[-1],
            fields=any_values(config.prompt_fields(), word),
            region_fields=[any_values(config.region_fields, word)] * config.max_boxes,
        ),
        prompts.coordinates,
    )  # fmt: skip


def largest_request(config: RegionCapConfig, prompts: Prompts) -> ChatRequest:
    """The largest request that rows of this config can lead to, with a picture that weighs what photos weigh."""
    system, text, wanted = _largest_texts(config, prompts)
    picture = typical_picture(config.max_pixels)
    if not config.may_ask_closer:
        return ChatRequest(system, text, (picture,), wanted)
    return ChatRequest(system, text, (picture, typical_picture(config.max_pixels // FOCAL_SHARE)), wanted)


def _largest_texts(config: RegionCapConfig, prompts: Prompts) -> tuple[str, str, tuple[int, ...]]:
    """(system prompt, prompt, regions asked for) of the largest request."""
    request = largest_row(config, prompts)
    shown = request.wanted
    system = prompts.system_text(config.max_boxes, request.fields, request.region_fields)
    if not config.may_ask_closer:
        return system, marks_question(prompts, request, shown, shown), tuple(shown)
    return system, prompts.focal_text(1, config.max_boxes, request.fields, request.region_fields), (1,)


def largest_size(config: RegionCapConfig, prompts: Prompts) -> dict[str, int]:
    """How much the largest request has of what servers limit, by name; texts in steps, so that another word in a prompt
    is not another size."""
    system, text, wanted = _largest_texts(config, prompts)
    chars = max(MIN_CHARS, 1 << (len(system) + len(text) - 1).bit_length())
    sizes = {"pixels": config.max_pixels, "images": 1 + config.may_ask_closer, "chars": chars}
    return {**sizes, "tokens": config.max_tokens, "regions": len(wanted)}
