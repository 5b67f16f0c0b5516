"""The card of a Hugging Face data set: a README.md whose YAML header describes the data.

https://huggingface.co/docs/hub/datasets-cards. Whatever else a person wrote into it is kept.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

import yaml

from regioncap.exports.hf_features import Features, as_yaml

TAG = "regioncap"
"""Tells our cards from others."""

_HEADER = re.compile(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)

TEXT = """
# Region captions

One row per image. `captions`, `bbox`, `normalized_bbox`, `flags` and `regions` are parallel lists: `captions[i]`
describes the region `bbox[i]`, which is x, y, width and height in pixels of the image as displayed (EXIF orientation
applied). `normalized_bbox[i]` is left, top, right and bottom over the image's width and height. `flags[i]` has what may
be wrong with the caption.

Made with RegionCap.
"""


def is_ours(card: str) -> bool:
    """Whether an export wrote this card."""
    tags = _header_of(card).get("tags")
    return isinstance(tags, list) and TAG in tags


def card_of(earlier: str, features: Features) -> str:
    """The card of what was exported. `earlier`: the card that is there, whose text and other keys stay; "" if none."""
    header = _header_of(earlier)
    text = _HEADER.sub("", earlier, count=1) if earlier else TEXT
    header |= {
        "tags": list(dict.fromkeys([*_list(header.get("tags")), TAG])),
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
        "dataset_info": {"features": as_yaml(features)},
    }
    described = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{described}---\n{text}"


def _header_of(card: str) -> dict[str, Any]:
    found = _HEADER.match(card)
    with contextlib.suppress(yaml.YAMLError):
        header = yaml.safe_load(found[1]) if found else {}
        return header if isinstance(header, dict) else {}
    return {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
