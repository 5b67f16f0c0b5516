"""The names of DataFlow's operator, for scripts and pipelines that were written for it: only their imports change.

    from regioncap.dataflow import FileStorage, ImageRegionCaptionGenerate, LocalModelVLMServing_vllm

Signatures and meanings are DataFlow's; what runs is `regioncap.region_caption`, with its cache and its guarantees. See
docs/dataflow.md for what is the same and what differs.
"""

from __future__ import annotations

from regioncap.dataflow.operator import ExistingBBoxDataGenConfig, ImageRegionCaptionGenerate
from regioncap.dataflow.serving import APIVLMServing_openai, LocalModelVLMServing_vllm
from regioncap.dataflow.storage import FileStorage

__all__ = [
    "APIVLMServing_openai",
    "ExistingBBoxDataGenConfig",
    "FileStorage",
    "ImageRegionCaptionGenerate",
    "LocalModelVLMServing_vllm",
]
