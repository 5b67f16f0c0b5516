"""Region captions for vision-language data sets: images in, one caption for every region out, as a Prefect flow."""

__version__ = "0.1.0"
