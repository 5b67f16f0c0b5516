"""Run the flow from Python.

python examples/make_demo.py demo && python examples/from_python.py
"""

from __future__ import annotations

from regioncap import region_caption

if __name__ == "__main__":
    summary = region_caption(
        input="demo/photos.jsonl",
        output="demo/captions.jsonl",
        cache_path="demo/.regioncap",
        captioner="pixels",
        max_boxes=5,
    )
    print(f"{summary.regions} regions captioned, {summary.rejects} rows rejected: {summary.output}")
