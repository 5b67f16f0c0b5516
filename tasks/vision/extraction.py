"""Regions without a neural network: where a picture has something with an outline.

`edges` follows the idea of Edge Boxes (Zitnick & Dollár, ECCV 2014): a box is good when edges lie on its rim and not
in it or around it. Candidates are the connected components of a few thresholds of a very small picture, so the cost is
a few milliseconds whatever the picture's size. The weights were fitted as a logistic ranking on public boxes.

`canny` and `adaptive` follow the two methods of DataFlow's `ImageRegionCaptionGenerate` and its predecessor, written
from a description of them: thresholds and sizes are ours, so their boxes need not be the operator's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tasks.vision.boxes import nms_xyxy

EXTRACTION_VERSION = 2
"""Raised whenever a method finds other regions in the same picture."""

FINDING_LONG_SIDE = 640
"""Long side (px) at which pictures are given to the methods: several times what `edges` works at, so that reducing a
photo twice blurs nothing away, and enough for the page branch and the contours of the other two."""

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]
Method = Callable[..., Boxes]
"""`(image HxWx3 uint8 BGR, *, max_boxes, min_score) -> (N, 4) float64 xyxy in the image's pixels, best first`."""

# --- edges: photos
WORKING_LONG_SIDE = 112
WORKING_SHORT_SIDE = 16
QUANTILES = (0.2, 0.5, 0.8)
CLOSE_THRESHOLDS = 3
"""Grey levels: a threshold this near to the one before would give the same components again."""
EDGE_QUANTILE = 0.85
LEAST_EDGE = 10.0
LEAST_SHARE = 0.004
LEAST_FILL = 0.15
LEAST_SIDE = 5
SUPPRESSION_IOU = 0.45

# --- edges: pages
PAGE_THUMB = 64
PAGE_WHITE = 225
PAGE_WORKING_LONG_SIDE = 256
PAGE_INK = 235
PAGE_CLOSINGS = (3, 5, 7)
PAGE_SHARES = (0.004, 0.6)
PAGE_FILL = 0.3
PAGE_SUPPRESSION_IOU = 0.3


def find_regions(
    image: Image, method: Method, *, max_boxes: int, min_score: float, full_size_wh: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Regions of a picture, best first.

    `image`: HxWx3 uint8 BGR, the whole picture at any scale. `method`: `edges`, `canny`, `adaptive`. `max_boxes`: at
    most so many. `min_score`: lowest rank (`edges` on photos only). `full_size_wh`: the picture's real size, pixels.
    Gives (N, 4) int64 xywh in real pixels, inside the picture, each at least 1 pixel wide and high; N is 0 for a
    picture without anything in it.
    """
    height, width = image.shape[:2]
    if min(height, width) < 3 or int(image.max()) == int(image.min()):
        return np.zeros((0, 4), np.int64)
    boxes = method(image, max_boxes=max_boxes, min_score=min_score)
    return _to_full_size(boxes, (width, height), full_size_wh)


def _to_full_size(boxes: Boxes, size_wh: tuple[int, int], full_size_wh: tuple[int, int]) -> npt.NDArray[np.int64]:
    scale = np.tile(np.array(full_size_wh, np.float64) / size_wh, 2)
    most = np.tile(np.array(full_size_wh), 2)
    scaled = boxes.reshape(-1, 4) * scale
    starts, ends = np.floor(scaled[:, :2] + 1e-6), np.ceil(scaled[:, 2:] - 1e-6)
    xyxy = np.clip(np.concatenate([starts, ends], axis=1), 0, most).astype(np.int64)
    xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
    return xywh[(xywh[:, 2:] >= 1).all(axis=1)]


# --- edges


def edges(image: Image, *, max_boxes: int, min_score: float) -> Boxes:
    """Ranked regions by edges on their rim, on photos; by area, on pages (mostly white pictures).

    `image`: HxWx3 uint8 BGR. `min_score`: photos only; a page's boxes have no score. Gives (N, 4) float64 xyxy in
    the image's pixels, best first.
    """
    if _is_page(image):
        blocks = _page_regions(image, max_boxes)
        if len(blocks):  # else one thing fills a white picture: a silhouette, a packshot
            return blocks
    small, scale = _working_size(image, WORKING_LONG_SIDE)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB)
    channels = [np.asarray(channel, np.uint8) for channel in cv2.split(cv2.GaussianBlur(lab, (3, 3), 0))]
    edge = _edge_map(channels)
    boxes, fill = _candidates(channels, edge)
    if not len(boxes):
        return np.zeros((0, 4))
    scores = _scores(boxes, fill, edge)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
    ranked = boxes[order]
    return ranked[nms_xyxy(ranked, SUPPRESSION_IOU, max_boxes)] * scale


def _working_size(image: Image, long_side: int) -> tuple[Image, npt.NDArray[np.float64]]:
    """The image at working size, and the factor (4,) that brings its boxes back."""
    height, width = image.shape[:2]
    ratio = min(1.0, long_side / max(height, width))
    size = (max(WORKING_SHORT_SIDE, round(width * ratio)), max(WORKING_SHORT_SIDE, round(height * ratio)))
    if max(height, width) > 4 * long_side:  # nearest first: area averaging would cost as much as the picture has
        twice = (2 * size[0], 2 * size[1])
        image = np.asarray(cv2.resize(image, twice, interpolation=cv2.INTER_NEAREST), np.uint8)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.array([width / size[0], height / size[1]] * 2)


def _edge_map(channels: Iterable[Image]) -> npt.NDArray[np.float32]:
    """HxW float32: the strongest of the channels' |d/dx| + |d/dy|, lightness at half weight."""
    gradients = [
        np.abs(cv2.Sobel(channel, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(channel, cv2.CV_32F, 0, 1))
        for channel in channels
    ]
    gradients[0] *= 0.5
    strongest: npt.NDArray[np.float32] = np.maximum.reduce(gradients)
    return strongest


def _candidates(channels: Iterable[Image], edge: npt.NDArray[np.float32]) -> tuple[Boxes, npt.NDArray[np.float64]]:
    """(boxes (N, 4) xyxy, component area over box area (N,)) of all components worth ranking, each once."""
    masks: list[Mask] = []
    for channel in channels:
        blurred = np.asarray(cv2.blur(channel, (3, 3)))
        last = -np.inf
        for threshold in np.quantile(blurred, QUANTILES):
            if threshold - last < CLOSE_THRESHOLDS:
                continue
            last = threshold
            masks += _with_complement((blurred > threshold).astype(np.uint8))
    binary = (edge > max(LEAST_EDGE, float(np.quantile(edge, EDGE_QUANTILE)))).astype(np.uint8)
    closed = cv2.morphologyEx(binary, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    masks += [binary, np.asarray(closed, np.uint8), 1 - binary]
    stats = np.concatenate([_components(mask) for mask in masks])
    return _worth_ranking(stats, edge.shape[0] * edge.shape[1])


def _with_complement(mask: Mask) -> list[Mask]:
    return [mask, 1 - mask]


def _components(mask: Mask) -> npt.NDArray[np.int32]:
    """(N, 5) x, y, w, h, area of the 8-connected components of a mask."""
    _, _, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_16U, cv2.CCL_DEFAULT)
    return np.asarray(stats[1:], np.int32)


def _worth_ranking(stats: npt.NDArray[np.int32], pixels: int) -> tuple[Boxes, npt.NDArray[np.float64]]:
    x, y, w, h, area = stats.astype(np.float64).T
    keep = (w * h >= LEAST_SHARE * pixels) & (area >= LEAST_FILL * w * h) & (np.minimum(w, h) >= LEAST_SIDE)
    boxes, fill = np.stack([x, y, x + w, y + h], axis=1)[keep], (area / (w * h))[keep]
    _, first = np.unique(boxes, axis=0, return_index=True)
    first.sort()  # in the order of the masks, so that equal scores keep one order
    return boxes[first], fill[first]


def _scores(boxes: Boxes, fill: npt.NDArray[np.float64], edge: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(N,) ranks: how much a box looks like a thing. The weights are a logistic fit on public boxes."""
    height, width = edge.shape
    density = _Density(edge)
    sizes = boxes[:, 2:] - boxes[:, :2]
    inner = np.concatenate([boxes[:, :2] + 0.15 * sizes, boxes[:, 2:] - 0.15 * sizes], axis=1)
    outer = np.concatenate([boxes[:, :2] - 0.20 * sizes, boxes[:, 2:] + 0.20 * sizes], axis=1)
    in_box, at_core, around = density.of(boxes), density.of(inner), density.of_ring(outer, boxes)
    lw, lh = np.log(sizes[:, 0] / width), np.log(sizes[:, 1] / height)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    cx, cy = centres[:, 0] / width - 0.5, centres[:, 1] / height - 0.5
    aspect = np.log(sizes[:, 0] / sizes[:, 1])
    touch_x = (boxes[:, 0] <= 1).astype(float) + (boxes[:, 2] >= width - 1)
    touch_y = (boxes[:, 1] <= 1).astype(float) + (boxes[:, 3] >= height - 1)
    score: npt.NDArray[np.float64] = (
        0.9417 * in_box - 0.8320 * at_core + 0.0152 * around + 0.9572 * (in_box - around)
        + 0.6569 * lw + 1.2091 * lh - 0.1121 * lw**2 - 0.0384 * lh**2 + 0.0949 * lw * lh
        - 4.8233 * np.abs(cx) + 11.2387 * cx**2 + 0.5539 * cy + 2.5262 * cy**2
        - 0.1143 * aspect - 0.6924 * aspect**2
        - 0.7241 * touch_x - 0.5829 * touch_y + 1.2857 * fill
    )  # fmt: skip
    return score


class _Density:
    """Mean edge strength of boxes, relative to the picture's: look-ups in one integral image."""

    def __init__(self, edge: npt.NDArray[np.float32]) -> None:
        self._sums = cv2.integral(edge, sdepth=cv2.CV_64F)
        self._height, self._width = edge.shape
        self._usual = float(edge.mean()) + 4  # of grey levels: keeps plain pictures from dividing by next to nothing

    def of(self, boxes: Boxes) -> npt.NDArray[np.float64]:
        """(N,) density in boxes (N, 4) xyxy."""
        sums, areas = self._sum_and_area(boxes)
        return sums / areas / self._usual

    def of_ring(self, outer: Boxes, boxes: Boxes) -> npt.NDArray[np.float64]:
        """(N,) density between each outer box and the box within."""
        sums, areas = self._sum_and_area(outer)
        inner_sums, inner_areas = self._sum_and_area(boxes)
        return (sums - inner_sums) / np.maximum(areas - inner_areas, 1) / self._usual

    def _sum_and_area(self, boxes: Boxes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        limits = (self._width, self._height, self._width, self._height)
        x1, y1, x2, y2 = np.clip(np.rint(boxes), 0, limits).astype(np.int64).T
        x2, y2 = np.maximum(x2, np.minimum(x1 + 1, self._width)), np.maximum(y2, np.minimum(y1 + 1, self._height))
        sums = self._sums[y2, x2] - self._sums[y1, x2] - self._sums[y2, x1] + self._sums[y1, x1]
        return sums, np.maximum((x2 - x1) * (y2 - y1), 1).astype(np.float64)


def _is_page(image: Image) -> bool:
    """Whether more than half of the picture is nearly white: print, forms, screenshots."""
    thumb = cv2.resize(image, (PAGE_THUMB, PAGE_THUMB), interpolation=cv2.INTER_AREA)
    return float((thumb.min(axis=2) > PAGE_WHITE).mean()) > 0.5


def _page_regions(image: Image, max_boxes: int) -> Boxes:
    """Blocks of print, largest first: ink closed to lines, paragraphs and figures."""
    small, scale = _working_size(image, PAGE_WORKING_LONG_SIDE)
    ink = (cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) < PAGE_INK).astype(np.uint8)
    closings = (cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8)) for size in PAGE_CLOSINGS)
    x, y, w, h, area = np.concatenate([_components(np.asarray(mask, np.uint8)) for mask in closings]).T.astype(float)
    share = w * h / ink.size
    keep = (share >= PAGE_SHARES[0]) & (share <= PAGE_SHARES[1]) & (area >= PAGE_FILL * w * h)
    boxes = np.stack([x, y, x + w, y + h], axis=1)[keep]
    ranked = boxes[np.argsort(-share[keep], kind="stable")]
    kept: Boxes = ranked[nms_xyxy(ranked, PAGE_SUPPRESSION_IOU, max_boxes)] * scale
    return kept


# --- the seed's methods


def canny(image: Image, *, max_boxes: int, min_score: float) -> Boxes:
    """A common recipe: bounding boxes of the outer contours of Canny edges, largest first.

    `image`: HxWx3 uint8 BGR; `min_score` is not used. Gives (N, 4) float64 xyxy in the image's pixels.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    contours, _ = cv2.findContours(cv2.Canny(grey, 50, 150), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = _boxes_of(contours)
    share = boxes[:, 2] * boxes[:, 3] / (image.shape[0] * image.shape[1])
    return _largest_first(boxes[(share >= LEAST_CANNY_SHARE) & (share <= MOST_CANNY_SHARE)])[:max_boxes]


LEAST_CANNY_SHARE = 0.002
MOST_CANNY_SHARE = 0.9


def adaptive(image: Image, *, max_boxes: int, min_score: float) -> Boxes:
    """The method of DataFlow's operator `ImageRegionCaptionGenerate`, with its parameters: contours of an adaptive
    threshold, closed; by area, sides and proportions; then non-maximum suppression, largest first.

    `image`: HxWx3 uint8 BGR; `min_score` is not used. Kernels are in pixels of this image, which here is at most
    `FINDING_LONG_SIDE` long, while the operator takes pictures at full size. Gives (N, 4) float64 xyxy in the
    image's pixels.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    mask = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY_INV, 11, 2)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((8, 8), np.uint8))
    contours, _ = cv2.findContours(closed, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    height, width = image.shape[:2]
    boxes = _boxes_of(contours)
    w, h = boxes[:, 2], boxes[:, 3]
    area = np.array([cv2.contourArea(contour) for contour in contours]) / (height * width)
    keep = (area >= 0.01) & (area <= 0.8) & (w >= 0.1 * h) & (w <= 5 * h) & (w <= 0.9 * width) & (h <= 0.9 * height)
    return _without_covered(_largest_first(boxes[keep]), most=0.3)[:max_boxes]


def _boxes_of(contours: Sequence[Any]) -> Boxes:
    """Bounding boxes of contours, (N, 4) xywh."""
    return np.array([cv2.boundingRect(contour) for contour in contours], np.float64).reshape(-1, 4)


def _largest_first(boxes: Boxes) -> Boxes:
    """Boxes (N, 4) xywh as xyxy, by area."""
    x, y, w, h = boxes.T
    ranked: Boxes = np.stack([x, y, x + w, y + h], axis=1)[np.argsort(-w * h, kind="stable")]
    return ranked


def _without_covered(boxes: Boxes, most: float) -> Boxes:
    """Non-maximum suppression as the operator does it: a box goes when an earlier one covers more than `most` of it."""
    kept: list[int] = []
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        earlier = boxes[kept]
        w = np.minimum(x2, earlier[:, 2]) - np.maximum(x1, earlier[:, 0])
        h = np.minimum(y2, earlier[:, 3]) - np.maximum(y1, earlier[:, 1])
        if not np.any(np.maximum(w, 0) * np.maximum(h, 0) > most * (x2 - x1) * (y2 - y1)):
            kept.append(number)
    return boxes[kept]
