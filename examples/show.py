"""Print an output of RegionCap in readable form: each picture with its regions and their captions.

python examples/show.py demo/captions.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def show(output: Path) -> None:
    """Print every row of `output`, then the rejected rows."""
    for line in output.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        meta = row["meta_info"]
        print(f"\n{row['image']}  ({meta['type']}, {meta['width']}x{meta['height']})")
        print(f"  marked picture: {output.parent / meta['image_with_bbox']}")
        for box, text in zip(meta["bbox"], row["mdvp_record"], strict=True):
            print(f"  {box}  {text}")
    rejects = output.with_suffix(".rejects.jsonl")
    print(f"\nrejected ({rejects}):")
    for line in rejects.read_text(encoding="utf-8").splitlines():
        reject = json.loads(line)
        print(f"  {reject['code']}: {reject['message']}")


if __name__ == "__main__":
    show(Path(sys.argv[1]))
