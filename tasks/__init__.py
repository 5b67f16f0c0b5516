"""RegionCap's Prefect tasks: load, route, extract, normalize, visualize, caption, write, and what runs them."""
