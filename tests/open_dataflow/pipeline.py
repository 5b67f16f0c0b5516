"""A pipeline of DataFlow's with the operator between two of DataFlow's own, as a script; see test_real_dataflow.py.

    python pipeline.py STORAGE CACHE_TYPE URL

`STORAGE`: a storage class of DataFlow's, or `ours`. It reads `photos.jsonl` and keeps its steps
in `cache/`. The key of the server at `URL` is in GATEWAY_KEY. Prints what the last operator passes on, as JSON.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import dataflow
import dataflow.utils.storage as storages
from dataflow.operators.core_text import PandasOperator
from dataflow.pipeline import PipelineABC

from regioncap.dataflow import ExistingBBoxDataGenConfig, FileStorage, ImageRegionCaptionGenerate


def api_serving(url: str) -> Any:
    """DataFlow's client of OpenAI-compatible servers, without the others of its package: those import torch."""
    package = types.ModuleType("dataflow.serving")
    package.__path__ = [str(Path(dataflow.__file__).parent / "serving")]
    sys.modules["dataflow.serving"] = package
    from dataflow.serving.api_vlm_serving_openai import APIVLMServing_openai

    return APIVLMServing_openai(api_url=url, key_name_of_api_key="GATEWAY_KEY", model_name="fake-vlm", max_workers=4)


class Captions(PipelineABC):
    """Numbers the rows, captions their regions, and counts these."""

    def __init__(self, storage: Any, serving: Any) -> None:
        super().__init__()
        self.storage = storage
        self.number = PandasOperator([lambda frame: frame.assign(number=range(len(frame)))])
        self.caption = ImageRegionCaptionGenerate(serving, ExistingBBoxDataGenConfig(max_boxes=3))
        self.count = PandasOperator([lambda frame: frame.assign(regions=frame["meta_info"].map(regions_of))])

    def forward(self) -> None:
        self.number.run(storage=self.storage.step())
        self.caption.run(storage=self.storage.step(), input_image_key="image", input_bbox_key="bbox")
        self.count.run(storage=self.storage.step())


def regions_of(meta: Any) -> int:
    """The number of a row's regions; in CSV its fields are text."""
    found: int = (json.loads(meta) if isinstance(meta, str) else meta)["valid_bboxes_num"]
    return found


if __name__ == "__main__":
    name, cache_type, url = sys.argv[1:]
    kind = FileStorage if name == "ours" else getattr(storages, name)
    storage = kind("photos.jsonl", cache_path="cache", file_name_prefix="photos", cache_type=cache_type)
    pipeline = Captions(storage, api_serving(url))
    pipeline.compile()
    pipeline.forward()
    found = storage.step().read("dataframe")
    print(found[["image", "number", "regions", "mdvp_record"]].to_json(orient="records"))
