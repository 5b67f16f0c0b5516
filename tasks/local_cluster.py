"""The worker processes of a run on this machine: a Dask cluster, in a process of its own without RegionCap.

    python -P local_cluster.py PROCESSES THREADS

Prints, as one line of JSON, the scheduler's address and what a client needs to be let in: nobody else on this machine
can use the cluster. Serves until standard input closes, which the system does when whoever started it ends, in whatever
way. A worker that ends is replaced by another.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from typing import Any

import dask
from distributed import LocalCluster

NO_PAGES: dict[str, Any] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
"""Dask tells whoever asks over HTTP what it works on."""


def main(processes: int, threads: int) -> None:
    """See the module's text."""
    with tempfile.TemporaryDirectory(prefix="regioncap-workers-") as folder, dask.config.set(NO_PAGES):
        cluster = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=processes, threads_per_worker=threads, security=True, local_directory=folder,
            # As with threads: Dask stops no process for its memory, and writes to no terminal.
            memory_limit=0, silence_logs=logging.CRITICAL + 1,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        )  # fmt: skip
        security: Any = cluster.security
        access = {"tls_ca_file": security.tls_ca_file, "tls_client_cert": security.tls_client_cert,
                  "tls_client_key": security.tls_client_key}  # fmt: skip
        print(json.dumps({"address": cluster.scheduler_address, "access": access}), flush=True)
        sys.stdin.buffer.read()
    os._exit(0)  # the workers end when they notice; to say goodbye to each takes seconds


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
