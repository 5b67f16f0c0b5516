"""Finds regions without a neural network: objects with a visible outline.

`edges` follows the idea of Edge Boxes (Zitnick & Dollár, ECCV 2014): a box is good if edges lie on its rim rather than
inside or around it. Candidates are the connected components of a few thresholds of a very small copy of the picture,
so the cost is one or two milliseconds whatever the picture's size. The weights come from a logistic ranking fitted to
public boxes.

A region finder is a function `(image) -> boxes`: an HxWx3 uint8 BGR picture in, (N, 4) int64 xywh in its pixels out,
best first. It takes `max_boxes` and `min_score` as keyword arguments and may ignore either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from regioncap.vision.boxes import nms_xyxy

EXTRACTION_VERSION = 3
"""Raise it whenever a finder returns different regions for the same picture."""

FINDER_MAX_LONG_SIDE = 640
"""Maximum long side (px) of the pictures given to the finders: large enough that many photos need no resizing."""

FINDER_MIN_LONG_SIDE = 448
"""A JPEG may be decoded at reduced size for speed, down to this long side (px): four times the working size of
`edges`, so that no detail it uses is lost."""

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
IntBoxes = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

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


class Finder(Protocol):
    """The signature of a region finder; see the module's docstring."""

    def __call__(self, image: Image, /, *, max_boxes: int = ..., min_score: float = ...) -> IntBoxes:
        """Regions of `image`, HxWx3 uint8 BGR: (N, 4) int64 xywh in its pixels, best first."""


def find_regions(
    image: Image, finder: Finder, *, max_boxes: int, min_score: float, full_size_wh: tuple[int, int]
) -> IntBoxes:
    """Regions of a picture, best first.

    `image`: HxWx3 uint8 BGR, the whole picture at any scale. `finder`: `edges`, `canny`, `adaptive` or a function with
    the signature of `Finder`. `max_boxes`: maximum number of regions. `min_score`: minimum score (only used by `edges`
    on photos). `full_size_wh`: width and height of the full-size picture in pixels.

    Returns (N, 4) int64 xywh in pixels of the full-size picture, inside it, each at least 1 pixel wide and high; N is
    0 for a picture without content.
    """
    height, width = image.shape[:2]
    if min(height, width) < 3 or _is_flat(image):
        return np.zeros((0, 4), np.int64)
    boxes = finder(image, max_boxes=max_boxes, min_score=min_score).astype(np.float64)
    xyxy = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    scale = (full_size_wh[0] / width, full_size_wh[1] / height)
    return _to_pixels(xyxy, scale, full_size_wh)[:max_boxes]


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
