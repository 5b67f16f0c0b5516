"""Images as arrays, and marks on them."""

from regioncap.process import environment_kept

with environment_kept():
    import cv2  # noqa: F401
