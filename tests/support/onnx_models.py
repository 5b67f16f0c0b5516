"""Detectors as ONNX files, made here: they see the same objects in every picture."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Layout = Literal["yolo", "rt-detr", "end2end"]

SIZE = 64
"""Side of the pictures that the models take, in pixels."""

OBJECTS = [((8, 4, 24, 20), 0.9, 0), ((30, 20, 60, 40), 0.6, 1), ((9, 4, 25, 20), 0.5, 0), ((0, 0, 10, 10), 0.01, 2)]
"""Corners in pixels, score, class; the third is the first once more."""

NAMES = {0: "cat", 1: "dog", 2: "bird"}


def write_model(path: Path, layout: Layout) -> Path:
    """A model with the outputs of an export of YOLO, of RT-DETR, or of a model without suppression of its own."""
    output = outputs(layout)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
            helper.make_node("Add", ["objects", "zero"], ["output0"]),
        ],
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, output.shape)],
        [numpy_helper.from_array(output, "objects"), numpy_helper.from_array(np.zeros((), np.float32), "nothing")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"names": repr(NAMES)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def outputs(layout: Layout) -> np.ndarray:
    """The raw output for `OBJECTS`, float32, as the layout has it."""
    corners = np.array([box for box, _, _ in OBJECTS], np.float32)
    scores = np.array([score for _, score, _ in OBJECTS], np.float32)
    classes = np.array([number for _, _, number in OBJECTS])
    if layout == "end2end":
        return np.column_stack([corners, scores, classes])[None].astype(np.float32)
    centres, sizes = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    by_class = np.zeros((len(OBJECTS), len(NAMES)), np.float32)
    by_class[range(len(OBJECTS)), classes] = scores
    rows = np.concatenate([centres, sizes, by_class], axis=1)
    filled = np.concatenate([rows, np.zeros((16, rows.shape[1]), np.float32)])  # more candidates than columns
    if layout == "rt-detr":
        filled[:, :4] /= SIZE
        return filled[None].astype(np.float32)
    return filled.T[None].astype(np.float32)
