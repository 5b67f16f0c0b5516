"""Serve the deployments of prefect.yaml from one process, without a worker: python deployments/serve.py

The same as `regioncap serve` at the root of the repository. Ctrl-C stops it and pauses the schedules.
"""

from pathlib import Path

from regioncap.flows.serving import serve_file

if __name__ == "__main__":
    serve_file(Path(__file__).with_name("prefect.yaml"))
