"""RegionCap's Prefect tasks: load, route, extract, normalize, visualize, caption, write, and what runs them."""

from regioncap.process import no_telemetry

with no_telemetry:  # Prefect reports its first import
    import prefect  # noqa: F401
