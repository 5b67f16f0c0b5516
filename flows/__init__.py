"""RegionCap's flow."""

from regioncap.run.prefect_import import import_prefect

import_prefect()
