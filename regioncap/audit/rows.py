"""What an audit measures: a row's captions of the output, and those that came when it was asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

Arm = Literal["permuted", "reversed"]
Asking = Literal["permuted", "reversed", "control"]
ARMS: tuple[Arm, ...] = get_args(Arm)
AGAIN: tuple[Asking, ...] = get_args(Asking)


@dataclass(frozen=True)
class AuditedRow:
    """A captioned row that was asked again three times.

    All lists are by box: index i of each belongs to box i, whatever number it had when it was asked for. None stands
    where no caption came.

    `number`: position among the output's rows, from 1. `image`: its name. `width`, `height`: pixels. `bbox`: (N, 4)
    xywh in those pixels, numbers as given. `first`: the captions of the output. `permuted`: asked with other numbers,
    so that no box kept its own. `reversed`: with the same numbers, asked for in reverse order. `control`: asked exactly
    as before, a new sample. `image_sha256`: of the image's bytes, "" if unknown; identifies the row in other files.
    """

    number: int
    image: str
    width: int
    height: int
    bbox: Sequence[Sequence[float]]
    first: Sequence[str | None]
    permuted: Sequence[str | None]
    reversed: Sequence[str | None]
    control: Sequence[str | None]
    image_sha256: str = ""

    def of(self, asking: Asking) -> Sequence[str | None]:
        """The captions of an asking, by box."""
        match asking:
            case "permuted":
                return self.permuted
            case "reversed":
                return self.reversed
            case "control":
                return self.control


def is_caption(caption: str | None) -> TypeGuard[str]:
    """Whether there is a caption."""
    return bool(caption and caption.strip())
