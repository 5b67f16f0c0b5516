"""RegionCap's Prefect tasks: load, route, extract, normalize, visualize, caption, write, and what runs them."""

from regioncap.tasks.prefect_import import import_prefect

import_prefect()
