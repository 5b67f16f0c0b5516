"""Free memory goes back to the system, where the C library can do that."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FRAGMENTED = """
import resource
from pathlib import Path
from regioncap.run.memory import give_back_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20

# Each second piece stays, so that the free ones between them cannot be given back as a whole.
pieces = [bytes(100_000) for _ in range(2_000)]
del pieces[::2]
before = resident_mb()
give_back_memory()
print(before - resident_mb())
"""


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives back what lies between")
def test_what_is_free_between_what_is_used_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", FRAGMENTED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50


def test_nothing_happens_with_another_c_library() -> None:
    without = "import ctypes; ctypes.CDLL = lambda name: object()\n"
    done = subprocess.run([sys.executable, "-c", without + FRAGMENTED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10
