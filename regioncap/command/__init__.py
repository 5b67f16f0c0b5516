"""The `regioncap` command, and its entry."""

from __future__ import annotations

import gc
import sys

from regioncap.command.exit_codes import STOPPED
from regioncap.command.uncollected import uncollected


def main() -> None:
    """Run the command that was typed, and end the process with its exit code."""
    try:
        with uncollected():
            from regioncap.command.app import main as run
    except KeyboardInterrupt:  # imports take their time
        print("regioncap: stopped", file=sys.stderr)
        sys.exit(STOPPED)
    try:
        run()
    finally:
        # Else Python, at exit, looks through all that was imported for garbage: a quarter of a second.
        gc.freeze()
