"""The picture of a card: a small copy of the row's image or of its marked picture, and which image it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.output.reading import Captioned
from regioncap.report.source import ReportOptions
from regioncap.report.thumbs import Thumb, thumb_of


@dataclass(frozen=True)
class CardPicture:
    """What a card shows of an image. `gone`: why there is no `thumb`. `sha256`: of the image file's bytes as they are
    now, 64 hex digits; "" if they could not be read."""

    thumb: Thumb | None = None
    gone: str = ""
    sha256: str = ""


def card_picture(image: ImageRef, row: Captioned | None, setting: ReportOptions, count: int) -> CardPicture:
    """The picture of `image` for a page of `count`: of the image, or else of the row's marked picture."""
    sha256 = ""
    try:
        data = setting.pictures.read(image)
        sha256 = hashlib.sha256(data).hexdigest()
        return CardPicture(thumb_of(data, count, setting.config.max_image_pixels), "", sha256)
    except RowReject as reject:
        marked = setting.pictures.marked(row) if row is not None else None
        return CardPicture(_thumb_of_marked(marked, setting, count), reject.message, sha256)


def _thumb_of_marked(marked: bytes | None, setting: ReportOptions, count: int) -> Thumb | None:
    try:
        return thumb_of(marked, count, setting.config.max_image_pixels) if marked is not None else None
    except RowReject:
        return None
