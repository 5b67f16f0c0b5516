"""RegionCap's flow and its command."""
