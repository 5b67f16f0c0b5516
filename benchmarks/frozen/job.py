"""The job that `by_hand.py` does: a picture's regions, marks and question, frozen (see SHA256SUMS).

The interface is that of `../peers/job.py`, whose pixel work is RegionCap's own of today. Here it is that of a day in
November 2026, copied, with simpler marks: what RegionCap learns since then must not move the goals that are told in
terms of this script.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

cv2.setNumThreads(1)  # the threads are the script's

MODEL = "fake-vlm"
IN_FLIGHT = 37
"""Requests under way: 15 % more than the 32 slots of the server that the script is measured with."""

SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the human's questions."
)
SAMPLING = {"max_tokens": 2048, "temperature": 0.0}
JPEG_QUALITY = 85
MAX_BOXES = 10
COLOURS = ((75, 25, 230), (255, 130, 0), (25, 225, 255), (115, 158, 0), (230, 50, 240), (0, 130, 245))

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
IntBoxes = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def rows_of(listing: str) -> list[dict[str, Any]]:
    """The rows of the input, with paths that can be opened."""
    folder = Path(listing).parent
    rows = [json.loads(line) for line in Path(listing).read_text().splitlines()]
    return [{**row, "image": str(folder / row["image"])} for row in rows]


def draw(image: str, bbox: list[list[float]] | None) -> tuple[bytes, str] | None:
    """The marked JPEG and the question of one row; None for a picture in which no region is found."""
    decoded = cv2.imdecode(np.frombuffer(Path(image).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None, image
    pixels = np.asarray(decoded, np.uint8)
    if bbox is None:
        bbox = [] if _is_flat(pixels) else edges(pixels, max_boxes=MAX_BOXES).tolist()
    if not bbox:
        return None
    for number, box in enumerate(bbox, start=1):
        mark(pixels, [round(side) for side in box], number)
    jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return jpeg, question(len(bbox))


def mark(pixels: Image, box: list[int], number: int) -> None:
    """Draw one numbered box."""
    x, y, w, h = box
    colour = COLOURS[(number - 1) % len(COLOURS)]
    cv2.rectangle(pixels, (x, y), (x + w, y + h), colour, 3)
    (wide, high), below = cv2.getTextSize(str(number), cv2.FONT_HERSHEY_DUPLEX, 0.7, 1)
    cv2.rectangle(pixels, (x, y), (x + wide + 4, y + high + below), colour, -1)
    cv2.putText(pixels, str(number), (x + 2, y + high + 2), cv2.FONT_HERSHEY_DUPLEX, 0.7, (255, 255, 255), 1)


def question(count: int) -> str:
    """What is asked of a picture with `count` regions."""
    names = "is 1 region: <region1>" if count == 1 else f"are {count} regions: <region1> to <region{count}>"
    form = "\n".join(f"<region{number}>: …" for number in range(1, count + 1))
    return (
        f"Describe the content of each marked region in the image. There {names}.\n\n"
        f"Answer with one line for each region and nothing else, in this form:\n{form}"
    )


def messages(jpeg: bytes, text: str) -> list[dict[str, Any]]:
    """The messages of a chat completion request, the picture as a data URL."""
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]


def arguments() -> tuple[str, Path, str]:
    """The script's command line: the listing, a folder for all that it writes, the server's base URL."""
    listing, folder, url = sys.argv[1:]
    return listing, Path(folder), url


def say(**times: float) -> None:
    """Print when the job `begun` and `ended`."""
    print(json.dumps(times), flush=True)


def now() -> float:
    """Seconds since 1970."""
    return time.time()


# --- finding regions: regioncap/vision/extraction.py of that day

# --- edges: photos
WORKING_LONG_SIDE = 112
WORKING_SHORT_SIDE = 16
QUANTILES = (0.2, 0.5, 0.8)
MIN_THRESHOLD_GAP = 3
"""Grey levels: a threshold closer than this to the previous one would only repeat its components."""
EDGE_QUANTILE = 0.85
MIN_EDGE = 10
MIN_AREA_SHARE = 0.004
MIN_FILL = 0.15
MIN_SIDE = 5
SUPPRESSION_IOU = 0.42
BLUR_MARGIN = 0.25
"""Working pixels by which blurring enlarges a component on each side."""
DEFAULT_MIN_SCORE = -3.0

# --- edges: pages
PAGE_WHITE = 225
PAGE_WORKING_LONG_SIDE = 256
PAGE_INK = 235
PAGE_CLOSINGS = (3, 5, 7)
PAGE_SHARES = (0.004, 0.6)
PAGE_FILL = 0.3
PAGE_SUPPRESSION_IOU = 0.3


def _is_flat(image: Image) -> bool:
    """Whether all values of a picture are equal."""
    # Most pictures differ within a few rows, which saves reading the rest.
    some = image[:: max(1, image.shape[0] // 16)]
    return bool(some.max() == some.min()) and bool(image.max() == image.min())


def _to_pixels(xyxy: FloatArray, scale: tuple[float, float], size_wh: tuple[int, int]) -> IntBoxes:
    """Boxes (N, 4) xyxy times `scale` (x, y) as xywh, rounded outwards to pixels and clipped; none is empty."""
    scaled = xyxy.reshape(-1, 4) * np.tile(scale, 2)
    starts, ends = np.floor(scaled[:, :2] + 1e-6), np.ceil(scaled[:, 2:] - 1e-6)
    clipped = np.clip(np.concatenate([starts, ends], axis=1), 0, np.tile(size_wh, 2)).astype(np.int64)
    xywh = np.concatenate([clipped[:, :2], clipped[:, 2:] - clipped[:, :2]], axis=1)
    found: IntBoxes = xywh[(xywh[:, 2:] >= 1).all(axis=1)]
    return found


# --- edges


def edges(image: Image, *, max_boxes: int = 10, min_score: float = DEFAULT_MIN_SCORE) -> IntBoxes:
    """Regions ranked by the edges on their rim, on photos; by area, on pages (mostly white pictures).

    `image`: HxWx3 uint8 BGR. `min_score`: photos only; boxes on pages have no score. Returns (N, 4) int64 xywh in the
    image's pixels, best first, N at most `max_boxes`.
    """
    size_wh = (image.shape[1], image.shape[0])
    small, scale = _working_size(image, WORKING_LONG_SIDE)
    if _is_page(small):
        blocks, page_scale = _page_regions(image, max_boxes)
        if len(blocks):  # else one object fills a white picture: a silhouette, a packshot
            return _to_pixels(blocks, page_scale, size_wh)
    lab = np.asarray(cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2LAB), (3, 3), 0), np.uint8)
    twice_edge = _twice_edge_map(lab)
    boxes, fill = _candidates(lab, twice_edge)
    if not len(boxes):
        return np.zeros((0, 4), np.int64)
    scores = _scores(boxes, fill, twice_edge)
    order = np.argsort(-scores, kind="stable")
    ranked = boxes[order[scores[order] >= min_score]]
    kept = ranked[nms_xyxy(ranked, SUPPRESSION_IOU, max_boxes)]
    return _to_pixels(kept + np.array([BLUR_MARGIN, BLUR_MARGIN, -BLUR_MARGIN, -BLUR_MARGIN]), scale, size_wh)


def _working_size(image: Image, long_side: int) -> tuple[Image, tuple[float, float]]:
    """The image at working size, and the factors (x, y) that scale boxes back to the image."""
    height, width = image.shape[:2]
    ratio = min(1.0, long_side / max(height, width))
    size = (max(WORKING_SHORT_SIDE, round(width * ratio)), max(WORKING_SHORT_SIDE, round(height * ratio)))
    if max(height, width) > 4 * long_side:  # subsample first: averaging areas costs time per pixel read
        twice = (2 * size[0], 2 * size[1])
        image = np.asarray(cv2.resize(image, twice, interpolation=cv2.INTER_NEAREST), np.uint8)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), (width / size[0], height / size[1])


def _twice_edge_map(lab: Image) -> npt.NDArray[np.int16]:
    """HxW int16, 0..4,080: twice the maximum of the channels' |d/dx| + |d/dy|, with lightness at half weight."""
    across, down = cv2.Sobel(lab, cv2.CV_16S, 1, 0), cv2.Sobel(lab, cv2.CV_16S, 0, 1)
    lightness, a, b = cv2.split(np.abs(across) + np.abs(down))
    return np.asarray(np.maximum(lightness, 2 * np.maximum(a, b)), np.int16)


def _candidates(lab: Image, twice_edge: npt.NDArray[np.int16]) -> tuple[FloatArray, FloatArray]:
    """The distinct components worth ranking: boxes (N, 4) xyxy, and component area over box area (N,) in 0..1."""
    masks: list[Mask] = []
    for channel in cv2.split(cv2.blur(lab, (3, 3))):
        blurred = np.asarray(channel, np.uint8)
        last = -MIN_THRESHOLD_GAP
        for threshold in _quantiles(blurred, QUANTILES):
            if threshold - last < MIN_THRESHOLD_GAP:
                continue
            last = threshold
            mask = np.asarray(cv2.threshold(blurred, threshold, 1, cv2.THRESH_BINARY)[1], np.uint8)
            masks += [mask, 1 - mask]
    (strong,) = _quantiles(twice_edge, (EDGE_QUANTILE,))
    binary = (twice_edge > max(2 * MIN_EDGE, strong)).astype(np.uint8)
    masks += [binary, 1 - binary]
    return _worth_ranking(_components(masks), binary.size)


def _quantiles(values: npt.NDArray[np.integer], shares: Sequence[float]) -> list[int]:
    """The quantiles of non-negative `values` at `shares`, each 0..1: by counting, in a tenth of the time of sorting."""
    below = np.cumsum(np.bincount(values.ravel()))
    ranks = [int((values.size - 1) * share) for share in shares]
    return [int(level) for level in np.searchsorted(below, ranks, side="right")]


def _components(masks: Sequence[Mask]) -> npt.NDArray[np.int64]:
    """The 8-connected components of the masks, mask by mask: (N, 5) int64, x, y, w, h and area."""
    found = [cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_16U, cv2.CCL_DEFAULT)[2] for mask in masks]
    return np.concatenate([stats[1:] for stats in found]).astype(np.int64)


def _worth_ranking(stats: npt.NDArray[np.int64], pixels: int) -> tuple[FloatArray, FloatArray]:
    x, y, w, h, area = stats.T
    keep = (w * h >= MIN_AREA_SHARE * pixels) & (area >= MIN_FILL * w * h) & (np.minimum(w, h) >= MIN_SIDE)
    x, y, w, h, area = stats[keep].T
    _, first = np.unique(((x * 1024 + y) * 1024 + w) * 1024 + h, return_index=True)
    first.sort()  # in mask order, so that ties in the score are always ranked alike
    boxes = np.stack([x, y, x + w, y + h], axis=1)[first].astype(np.float64)
    return boxes, (area / np.maximum(w * h, 1))[first]


def _scores(boxes: FloatArray, fill: FloatArray, twice_edge: npt.NDArray[np.int16]) -> FloatArray:
    """(N,) scores, higher for boxes that look more like an object. The weights are a logistic fit on public boxes."""
    height, width = twice_edge.shape
    in_box, at_core, around = _densities(boxes, twice_edge)
    w, h = (boxes[:, 2:] - boxes[:, :2]).T
    lw, lh = np.log(w / width), np.log(h / height)
    cx, cy = (boxes[:, 0] + w / 2) / width - 0.5, (boxes[:, 1] + h / 2) / height - 0.5
    aspect = np.log(w / h)
    touch_x = (boxes[:, 0] <= 1).astype(float) + (boxes[:, 2] >= width - 1)
    touch_y = (boxes[:, 1] <= 1).astype(float) + (boxes[:, 3] >= height - 1)
    score: FloatArray = (
        0.9417 * in_box - 0.8320 * at_core + 0.0152 * around + 0.9572 * (in_box - around)
        + 0.6569 * lw + 1.2091 * lh - 0.1121 * lw**2 - 0.0384 * lh**2 + 0.0949 * lw * lh
        - 4.8233 * np.abs(cx) + 11.2387 * cx**2 + 0.5539 * cy + 2.5262 * cy**2
        - 0.1143 * aspect - 0.6924 * aspect**2
        - 0.7241 * touch_x - 0.5829 * touch_y + 1.2857 * fill
    )  # fmt: skip
    return score


def _densities(boxes: FloatArray, twice_edge: npt.NDArray[np.int16]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean edge strength in each box, in its core (15 % off each side) and in the ring around it (20 % added to each
    side), each (N,) and relative to the picture's mean.

    One integral image makes each a constant-time look-up (Crow, SIGGRAPH 1984).
    """
    height, width = twice_edge.shape
    sums = cv2.integral(twice_edge.astype(np.float32), sdepth=cv2.CV_64F)
    sizes = boxes[:, 2:] - boxes[:, :2]
    inwards = np.concatenate([sizes, -sizes], axis=1)
    rectangles = np.rint(np.stack([boxes, boxes + 0.15 * inwards, boxes - 0.20 * inwards]))
    corners = np.clip(rectangles, 0, (width, height, width, height)).astype(np.intp)
    x1, y1, x2, y2 = np.moveaxis(corners, -1, 0)
    x2, y2 = np.maximum(x2, np.minimum(x1 + 1, width)), np.maximum(y2, np.minimum(y1 + 1, height))
    total = sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]
    area = np.maximum((x2 - x1) * (y2 - y1), 1)
    # Adding 4 grey levels (8, as edges count twice) keeps plain pictures from dividing by almost zero.
    mean = float(sums[-1, -1]) / twice_edge.size + 2 * 4
    ring = (total[2] - total[0]) / np.maximum(area[2] - area[0], 1)
    return total[0] / area[0] / mean, total[1] / area[1] / mean, ring / mean


def _is_page(small: Image) -> bool:
    """Whether more than half of the picture is almost white: print, forms, screenshots."""
    blue, green, red = cv2.split(small)
    darkest = np.minimum(np.minimum(blue, green), red)
    return bool(np.count_nonzero(darkest > PAGE_WHITE) > 0.5 * darkest.size)


def _page_regions(image: Image, max_boxes: int) -> tuple[FloatArray, tuple[float, float]]:
    """Blocks of print, largest first, (N, 4) xyxy in working pixels, and the factors (x, y) that scale them back.

    Morphological closing joins ink into lines, paragraphs and figures.
    """
    small, scale = _working_size(image, PAGE_WORKING_LONG_SIDE)
    ink = (cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) < PAGE_INK).astype(np.uint8)
    closings = (cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8)) for size in PAGE_CLOSINGS)
    x, y, w, h, area = _components([np.asarray(mask, np.uint8) for mask in closings]).T.astype(float)
    share = w * h / ink.size
    keep = (share >= PAGE_SHARES[0]) & (share <= PAGE_SHARES[1]) & (area >= PAGE_FILL * w * h)
    boxes = np.stack([x, y, x + w, y + h], axis=1)[keep]
    ranked = boxes[np.argsort(-share[keep], kind="stable")]
    return ranked[nms_xyxy(ranked, PAGE_SUPPRESSION_IOU, max_boxes)], scale


def box_iou(xyxy_a: npt.ArrayLike, xyxy_b: npt.ArrayLike) -> FloatArray:
    """Pairwise intersection over union: (N, 4) and (M, 4) xyxy give (N, M) float64 in 0..1.

    The IoU of a box without area is 0. N and M may be 0.
    """
    a, b = _as_boxes(xyxy_a)[:, None], _as_boxes(xyxy_b)[None, :]
    # Both axes are written out: np.prod over an axis of length two is four times as slow for a picture's 70 boxes.
    intersection = np.maximum(np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]), 0)
    intersection *= np.maximum(np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]), 0)
    union = _areas(a) + _areas(b) - intersection
    iou: FloatArray = np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)
    return iou


def nms_xyxy(boxes: npt.ArrayLike, iou_threshold: float, limit: int) -> list[int]:
    """Greedy non-maximum suppression: the indices of the boxes to keep, at most `limit`, in rank order.

    `boxes`: (N, 4) xyxy, best first. A box is suppressed if its IoU with a kept box exceeds `iou_threshold`.
    """
    ranked = _as_boxes(boxes)
    overlaps = box_iou(ranked, ranked) > iou_threshold
    suppressed = np.zeros(len(ranked), dtype=bool)
    kept: list[int] = []
    for index in range(len(ranked)):
        if len(kept) >= limit:
            break
        if not suppressed[index]:
            kept.append(index)
            suppressed |= overlaps[index]
    return kept


def _as_boxes(boxes: npt.ArrayLike) -> FloatArray:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def _areas(xyxy: FloatArray) -> FloatArray:
    areas: FloatArray = np.maximum(xyxy[..., 2] - xyxy[..., 0], 0) * np.maximum(xyxy[..., 3] - xyxy[..., 1], 0)
    return areas
