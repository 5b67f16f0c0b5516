"""A run by files in a process of its own, which is killed when its first file is written, right before or after it gets
its name: FOLDER before|after."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from regioncap.storage.filesystem import Place
from tests.support.request_files import FOLDER, captioned_by_files

if __name__ == "__main__":
    folder, when = sys.argv[1:]
    real = Place.writer

    @contextmanager
    def last(self: Place) -> Iterator[IO[bytes]]:
        to_be_answered = self.parent.name == FOLDER
        with real(self) as file:
            yield file
            if to_be_answered and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if to_be_answered:
            os.kill(os.getpid(), signal.SIGKILL)

    Place.writer = last  # type: ignore[method-assign]
    captioned_by_files(Path(folder))
