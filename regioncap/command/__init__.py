"""The `regioncap` command, and its entry."""

from __future__ import annotations

import gc

from regioncap.command.uncollected import uncollected


def main() -> None:
    """Run the command that was typed, and end the process with its exit code."""
    with uncollected():
        from regioncap.command.app import main as run
    try:
        run()
    finally:
        # Else Python, at exit, looks through all that was imported for garbage: a quarter of a second.
        gc.freeze()
