"""Images per CPU-second of the whole pixel path, ours against the operator's way, paired in one process.

python benchmarks/pixels.py [--images FOLDER] [--rounds 5] [--megapixels 0.3 2 12]

The path: read the file, decode, find regions where no boxes are given, draw the marks, encode. Half of the rows bring
boxes. `ours` are the steps' own functions with default settings. `seed` is what DataFlow's operator
`ImageRegionCaptionGenerate` does: it decodes once for finding, once for the size and once for drawing, searches and
draws at full size, and encodes OpenCV's default JPEG. As in the operator, a row in which nothing is found is left
there; `seed, all` is the same work as ours: such rows are drawn as well. `floor` is one decode and one encode at full
size, with nothing between them. Nothing is written by any.

Photos are scikit-image's, enlarged, with sensor noise, as JPEGs of quality 92, unless `--images` names others (each is
used at its own size). CPU seconds of this process, medians over rounds; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regioncap.config.model import RegionCapConfig
from regioncap.errors import RowReject
from regioncap.image_ref import ImageRef
from regioncap.records import WITH_BBOX, WITHOUT_BBOX
from regioncap.tasks.draw_row import draw_picture, draw_row
from regioncap.tasks.extract import extract_row
from regioncap.tasks.normalize import normalize_row
from regioncap.vision.images import Picture

PHOTOS = ("coffee.png", "astronaut.png", "chelsea.png", "motorcycle_left.png", "rocket.jpg", "hubble_deep_field.jpg")
SOURCE_QUALITY = 92
NOISE = 3.0
BOXES = ((0.1, 0.1, 0.3, 0.4), (0.5, 0.2, 0.2, 0.2), (0.55, 0.5, 0.35, 0.45), (0.02, 0.6, 0.2, 0.3))
"""Of the rows that bring boxes: xywh in parts of the picture."""


@dataclass(frozen=True)
class Item:
    """A row: the image's file, and its boxes (xywh pixels) or None."""

    path: Path
    boxes: list[list[int]] | None


def photos(folder: Path, megapixels: float) -> list[Path]:
    """Photos of 4:3 and about that many megapixels, as JPEG files in `folder`."""
    import skimage

    rng = np.random.default_rng(0)
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    made = []
    for name in PHOTOS:
        image = pixels_of(str(Path(skimage.__file__).parent / "data" / name))
        large = cv2.resize(image, (width, width * 3 // 4), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(large + rng.normal(0, NOISE, large.shape), 0, 255).astype(np.uint8)
        made.append(folder / f"{megapixels:g}-{Path(name).stem}.jpg")
        cv2.imwrite(str(made[-1]), noisy, [cv2.IMWRITE_JPEG_QUALITY, SOURCE_QUALITY])
    return made


def pixels_of(path: str) -> np.ndarray:
    """HxWx3 uint8 BGR."""
    image = cv2.imread(path)
    assert image is not None, path
    return image


def rows_of(paths: list[Path]) -> list[Item]:
    """Every image twice: with boxes and without."""
    rows = []
    for path in paths:
        height, width = pixels_of(str(path)).shape[:2]
        boxes = [[round(x * width), round(y * height), round(w * width), round(h * height)] for x, y, w, h in BOXES]
        rows += [Item(path, boxes), Item(path, None)]
    return rows


def ours(item: Item, config: RegionCapConfig) -> bool:
    """Steps 3 to 5 on one row; whether there was anything to mark."""
    given: dict[str, Any] = {"image": str(item.path), "image_stat": None, "type": WITHOUT_BBOX}
    if item.boxes is not None:
        given |= {"type": WITH_BBOX, "boxes": item.boxes}

    ahead: list[bytes] = []

    def read(image: ImageRef) -> bytes:
        return Path(image.name).read_bytes()

    def see(found: dict[str, Any], picture: Picture) -> None:  # as `regioncap.tasks.shard` does
        if picture.has_full_size(max_pixels=config.max_pixels):
            ahead.extend(draw_picture(normalize_row(found, config), picture, config)[1])

    try:
        row = normalize_row(extract_row(given, read, config, see), config)
    except RowReject:
        return False
    return bool(ahead or draw_row(row, read, config)[1])


# --- the operator's way


def seed(item: Item, *, all_rows: bool, max_boxes: int = 10) -> bool:
    """What the operator does with one row up to its request; whether it is not left out."""
    path = str(item.path)
    boxes = item.boxes if item.boxes is not None else seed_find(path)
    if not boxes and not all_rows:
        return False
    _ = pixels_of(path).shape  # for the size alone
    seed_draw(path, boxes[:max_boxes])
    return True


def seed_find(path: str) -> list[list[int]]:
    """The operator's search: contours of a closed adaptive threshold at full size, and its suppression."""
    image = pixels_of(path)
    height, width = image.shape[:2]
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    mask = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV, 11, 2)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_RECT, (8, 8)))
    contours, _ = cv2.findContours(closed, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for contour in contours:
        area = cv2.contourArea(contour)
        x, y, w, h = cv2.boundingRect(contour)
        if not 0.01 * width * height <= area <= 0.8 * width * height or not 0.1 <= w / h <= 5:
            continue
        if w <= 0.9 * width and h <= 0.9 * height:
            boxes.append([x, y, w, h])
    return seed_suppressed(boxes)


def seed_suppressed(boxes: list[list[int]]) -> list[list[int]]:
    """Largest first, without what an earlier one covers by more than 0.3."""
    kept: list[list[int]] = []
    for x, y, w, h in sorted(boxes, key=lambda box: -box[2] * box[3]):
        covered = (max(0, min(x + w, a + c) - max(x, a)) * max(0, min(y + h, b + d) - max(y, b)) for a, b, c, d in kept)
        if all(area <= 0.3 * w * h for area in covered):
            kept.append([x, y, w, h])
    return kept


def seed_draw(path: str, boxes: list[list[int]]) -> bytes:
    """The operator's marks: the picture at 80 %, green boxes, white numbers on black, at full size, as a JPEG."""
    image = pixels_of(path)
    image = cv2.addWeighted(image, 0.8, np.zeros_like(image), 0.2, 0)
    for number, (x, y, w, h) in enumerate(boxes, start=1):
        cv2.rectangle(image, (x, y), (x + w, y + h), (0, 255, 0), 2)
        text, (left, base) = str(number), (x + 4, y + 20)
        (text_w, text_h), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.65, 2)
        cv2.rectangle(image, (left, base - text_h - below), (left + text_w, base + below), (0, 0, 0), -1)
        cv2.putText(image, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.65, (255, 255, 255), 2)
    return cv2.imencode(".jpg", image)[1].tobytes()


def floor(item: Item, quality: int) -> bool:
    """One decode and one encode at full size."""
    image = cv2.imdecode(np.frombuffer(item.path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, item.path
    return bool(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


# --- measuring

Way = Callable[[Item], bool]


def measure(rows: list[Item], ways: dict[str, Way], rounds: int) -> dict[str, tuple[float, int]]:
    """(CPU seconds of a round, rows not left out) by way.

    In each round every row goes all ways, one after the other, so that a busy machine is busy for all; and in another
    order each time, since the first finds the image in no cache.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    done: dict[str, int] = {}
    order = deque(ways.items())
    for _ in range(rounds + 1):
        spent, kept = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
        for item in rows:
            order.rotate()
            for name, way in order:
                begun = time.process_time()
                kept[name] += way(item)
                spent[name] += time.process_time() - begun
        done = kept
        for name, value in spent.items():
            seconds[name].append(value)
    return {name: (statistics.median(values[1:]), done[name]) for name, values in seconds.items()}  # the first warms up


def report(title: str, rows: list[Item], folder: Path, rounds: int) -> None:
    """Measure one set and print a line for each other way, always in turn with ours: two ways that do the same to the
    same file one after the other would find what they need in the processor's caches, and ours would not."""
    config = RegionCapConfig(input=str(folder / "rows.jsonl"), captioner="pixels")
    others: dict[str, Way] = {
        "seed": lambda item: seed(item, all_rows=False),
        "seed, all": lambda item: seed(item, all_rows=True),
        "floor": lambda item: floor(item, config.jpeg_quality),
    }
    print(f"{title}: {len(rows)} rows")
    for name, way in others.items():
        found = measure(rows, {"ours": lambda item: ours(item, config), name: way}, rounds)
        (spent, _), (theirs, kept) = found["ours"], found[name]
        print(
            f"  ours {1000 * spent / len(rows):>7.1f} ms/image, {name:<9} {1000 * theirs / len(rows):>7.1f}: "
            f"{theirs / spent:>5.2f} x its images/CPU-s, {theirs / spent * len(rows) / max(kept, 1):>5.2f} x by those "
            f"that come out ({len(rows) - kept} left out)",
            flush=True,
        )


def speedup(megapixels: float, quick: bool = False) -> float:
    """Our images per CPU second over those of the operator's way, for `bench.py`. `quick`: one round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = rows_of(photos(folder, megapixels))
        config = RegionCapConfig(input=str(folder / "rows.jsonl"), captioner="pixels")
        ways: dict[str, Way] = {
            "ours": lambda item: ours(item, config),
            "seed": lambda item: seed(item, all_rows=False),
        }
        found = measure(rows, ways, rounds=1 if quick else 5)
    return found["seed"][0] / found["ours"][0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEG or PNG files to use instead")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.3, 2, 12])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.images is not None:
            paths = [path for path in sorted(args.images.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
            if not paths:
                parser.error(f"--images {args.images}: no .jpg or .png file is there")
            report(str(args.images), rows_of(paths), folder, args.rounds)
            return
        for megapixels in args.megapixels:
            report(f"{megapixels:g} MP", rows_of(photos(folder, megapixels)), folder, args.rounds)


if __name__ == "__main__":
    main()
