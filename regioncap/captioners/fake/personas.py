"""The personas of the fake server: `fake-vlm --persona`."""

from __future__ import annotations

from collections.abc import Mapping

from regioncap.captioners.fake.hosted import HOSTED
from regioncap.captioners.fake.local import LOCAL
from regioncap.captioners.fake.persona import PLAIN, Persona

PERSONAS: Mapping[str, Persona] = {"plain": PLAIN, **HOSTED, **LOCAL}
"""By the name that the command takes."""
