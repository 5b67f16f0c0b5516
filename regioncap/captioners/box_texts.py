"""Where a request's regions are, in the numbers of the model that is asked, for prompt templates."""

from __future__ import annotations

from dataclasses import replace

from regioncap.captioners.base import CaptionRequest
from regioncap.config.coordinates import Coordinates
from regioncap.vision.boxes import clip_xywh


def with_boxes(request: CaptionRequest, coordinates: Coordinates | None) -> CaptionRequest:
    """`request` with what `{box_form}` and each region's `{box}` are filled in with; as it is for None."""
    if coordinates is None:
        return request
    known = list(request.region_fields) or [{}] * len(request.bbox)
    texts = box_texts(request, coordinates)
    return replace(
        request,
        fields={**request.fields, "box_form": coordinates.form},
        region_fields=[{**own, "box": text} for own, text in zip(known, texts, strict=True)],
    )


def box_texts(request: CaptionRequest, coordinates: Coordinates) -> list[str]:
    """The boxes of a request's regions, clipped to the picture, as texts."""
    size = (request.width, request.height)
    texts = []
    for box in request.bbox:
        x, y, width, height = clip_xywh(box, *size)
        corners = (x / size[0], y / size[1], (x + width) / size[0], (y + height) / size[1])
        texts.append(coordinates.text(corners, request.picture_wh or size))
    return texts
