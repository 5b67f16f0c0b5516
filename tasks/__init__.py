"""RegionCap's tasks: load, route, extract, normalize, visualize, caption, write, and what they are made of."""

__version__ = "0.1.0"
