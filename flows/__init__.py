"""RegionCap's flow and its command."""

import os

# Prefect reads this when it is imported. Without a server of the user's one is started for the run, which takes
# longer on a fresh machine than the 20 s that Prefect allows.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
# Prefect's clients report what they are used for unless this is set; we report nothing.
os.environ.setdefault("DO_NOT_TRACK", "1")
