"""Qwen2.5-VL's resize, as prompts with boxes compute it, against the image processor of the installed transformers."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from regioncap.config.coordinates import QWEN_25

VENV = os.environ.get("REGIONCAP_VLLM_VENV", "")
MAX_RATIO = 200
"""Pictures that are longer than this are refused by the processor."""

RESIZE = """
import json, sys
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
factor, least, most, sizes = json.load(sys.stdin)
made = [smart_resize(height, width, factor=factor, min_pixels=least, max_pixels=most) for width, height in sizes]
print(json.dumps([[width, height] for height, width in made]))
"""

pytestmark = [pytest.mark.vllm, pytest.mark.skipif(not VENV, reason="needs transformers: make test-vllm")]


def test_a_thousand_sizes_are_those_of_the_real_processor() -> None:
    dice = random.Random(0)
    sizes: list[tuple[int, int]] = []
    while len(sizes) < 1000:
        most = dice.choice((80, 2000, 12_000))
        size = dice.randint(1, most), dice.randint(1, most)
        if max(size) / min(size) <= MAX_RATIO:
            sizes.append(size)
    asked = json.dumps([QWEN_25.factor, QWEN_25.min_pixels, QWEN_25.max_pixels, sizes])
    done = subprocess.run(
        [Path(VENV) / "bin" / "python", "-c", RESIZE], input=asked, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent / "path")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [list(QWEN_25.size(*size)) for size in sizes]
