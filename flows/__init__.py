"""RegionCap's flow."""

import regioncap.tasks  # noqa: F401  imports Prefect without a report to its makers
