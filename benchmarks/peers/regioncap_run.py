"""RegionCap: the flow as `throughput.py` runs it. How many requests are under way is found out."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from throughput import run_once

if __name__ == "__main__":
    run_once(*sys.argv[1:4], None)
