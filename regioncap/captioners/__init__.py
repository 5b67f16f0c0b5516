"""What captions regions: models behind an API, and their like."""

import regioncap.vision  # noqa: F401  imports OpenCV with nothing changed by that
