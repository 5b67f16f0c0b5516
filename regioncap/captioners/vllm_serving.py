"""vLLM on this machine's GPUs for runs elsewhere: `regioncap serve-model`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from regioncap.captioners.vllm_process import WILDCARDS, base_url, groups_of
from regioncap.captioners.vllm_server import VllmServers, check_vllm
from regioncap.config.model import RegionCapConfig
from regioncap.errors import UsageError


def serve_until(
    config: RegionCapConfig, host: str, port: int, key: str | None, ready: Callable[[Sequence[str], str], None]
) -> None:
    """Serve the config's model for runs elsewhere until a KeyboardInterrupt, which is raised when all have ended.

    `port`: of the first server, the next ones follow. `key`: None has one made. `ready`: called with the base URLs as
    other machines reach them, and the key. Raises UsageError, CaptionerError as a run does.
    """
    check_vllm(config)
    groups = groups_of(config)
    for number in range(port, port + len(groups)):
        _check_port(host, number)
    servers = VllmServers(config, host, port, key)
    try:
        started = servers.start()
        reachable = socket.getfqdn() if host in WILDCARDS else host
        ready([base_url(reachable, urlsplit(server.url).port or port) for server in started], servers.key)
        servers.watch()
    finally:
        servers.close()


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(f"--host, --port: cannot listen on {host}:{port}: {error.strerror or error}") from None
