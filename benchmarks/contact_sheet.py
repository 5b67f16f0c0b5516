"""The contact sheet of README and docs/regions.md: how marks look on photos, small and large, crowded, at the borders,
on white and black.

python benchmarks/contact_sheet.py docs/marks.jpg

Photos are scikit-image's: coffee (CC0, Rachel Michetti), chelsea (CC0, Stéfan van der Walt), rocket (CC0, SpaceX),
astronaut (public domain, NASA).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage

from regioncap.vision.drawing import draw_marks

CELL = (480, 360)
GROUND = 245
QUALITY = 85


def photo(name: str, scale: float = 1.0) -> np.ndarray:
    """HxWx3 uint8 BGR."""
    image = cv2.imread(str(Path(skimage.__file__).parent / "data" / name))
    assert image is not None, name
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def marked(image: np.ndarray, boxes: Sequence[Sequence[float]], scale: float = 1.0) -> np.ndarray:
    """`boxes` are those of the photo at scale 1."""
    scaled = [[scale * number for number in box] for box in boxes]
    return draw_marks(image, scaled, full_size_wh=image.shape[1::-1], dim=1.0)


def pictures() -> list[np.ndarray]:
    """What the sheet shows."""
    faces = [[154, 12, 146, 175], [362, 0, 112, 284], [277, 340, 228, 171], [132, 346, 78, 80]]
    tiny = [[196, 101, 9, 7], [236, 101, 9, 7], [440, 120, 5, 5]]
    nested = [[180 + 8 * n, 60 + 9 * n, 220 - 4 * n, 200 - 6 * n] for n in range(10)]
    rim = [[0, 0, 40, 30], [560, 0, 40, 30], [0, 370, 40, 30], [560, 370, 40, 30], [0, 150, 10, 100]]
    rim += [[590, 150, 10, 100], [200, 0, 200, 8], [200, 392, 200, 8], [-30, -30, 700, 500]]
    cat = [[136, 84, 72, 66], [296, 104, 60, 60], [226, 218, 60, 50]]
    grid = [[30.0 + n % 2 * 105, 35 + n // 2 * 65, 75, 38] for n in range(10)]
    coffee, small = photo("coffee.png"), photo("chelsea.png", 0.2)
    sheet = [marked(photo("astronaut.png"), faces + tiny), marked(coffee, nested), marked(coffee, rim)]
    sheet += [cv2.resize(marked(small, cat, 0.2), None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)]
    sheet += [marked(photo("rocket.jpg", 4), [[303, 126, 38, 288], [10, 300, 200, 110], [400, 20, 14, 14]], 4)]
    return [*sheet, *(marked(np.full((352, 232, 3), value, np.uint8), grid) for value in (255, 0))]


def fitted(picture: np.ndarray) -> np.ndarray:
    """The picture in the middle of a cell."""
    scale = min((CELL[0] - 8) / picture.shape[1], (CELL[1] - 8) / picture.shape[0])
    shown = cv2.resize(
        picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    cell = np.full((CELL[1], CELL[0], 3), GROUND, np.uint8)
    top, left = (CELL[1] - shown.shape[0]) // 2, (CELL[0] - shown.shape[1]) // 2
    cell[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return cell


def main() -> None:
    """Write the sheet."""
    *photos, white, black = pictures()
    cells = [*map(fitted, photos), fitted(np.hstack([white, black]))]
    rows = [np.hstack(cells[:3]), np.hstack(cells[3:])]
    cv2.imwrite(sys.argv[1], np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
