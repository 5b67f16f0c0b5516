"""The `regioncap` command, and its entry."""

from __future__ import annotations

import gc
import sys

from regioncap.command.exit_codes import STOPPED
from regioncap.command.stopping_signals import in_a_word, let_ctrl_c_end_python, stopping_signals
from regioncap.command.uncollected import uncollected

YOUNG_OBJECTS = 10_000
"""Objects that are made, and stay, between two looks for garbage among them. Nearly all of a run go as soon as nothing
uses them any more, and most others are those of rows in flight, which are looked through in vain: with Python's own 700
that took three hundredths of a run's CPU time."""


def main() -> None:
    """Run the command that was typed, and end the process with its exit code."""
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    try:
        with stopping_signals(), uncollected():
            from regioncap.command.app import main as run
    except KeyboardInterrupt as error:  # imports take their time
        print(f"regioncap: {in_a_word(error)}", file=sys.stderr)
        sys.exit(STOPPED)
    try:
        run()
    except SystemExit as ended:
        let_ctrl_c_end_python(ended.code)  # type: ignore[arg-type]  # it is one of `exit_codes`
        raise
    finally:
        # Else Python, at exit, looks through all that was imported for garbage: a quarter of a second.
        gc.freeze()
