"""Encrypted connections: whose certificates are trusted, and what is wrong when one is not."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

from regioncap.errors import ConfigError

PROBE_SECONDS = 5.0
"""For finding out whether a port speaks TLS."""

PLAIN_HTTP_REASONS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"})
"""OpenSSL's names for what answered not being TLS."""

OUT_OF_DATE = {9: "is not valid yet", 10: "has expired"}
OTHER_NAME = (62, 64)
"""X509_V_ERR_… codes: CERT_NOT_YET_VALID, CERT_HAS_EXPIRED; HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH."""


def tls_context(ca_file: str) -> ssl.SSLContext:
    """What this machine trusts, and the certificates in `ca_file`.

    Raises ConfigError for a file that is not there or holds none.
    """
    problem = _problem_of(ca_file)
    if problem:
        raise ConfigError("ca_file", f"a PEM file with certificates ({problem})", ca_file)
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file)
    # Lets a server's own certificate be given instead of its authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _problem_of(ca_file: str) -> str:
    """Why a file gives no certificates; empty if it does."""
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        alone.load_verify_locations(ca_file)
    except ssl.SSLError:
        return "it holds none"
    except OSError as error:
        return error.strerror or str(error)
    return "" if alone.cert_store_stats()["x509"] else "it holds none"


def certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a server's certificate, and what to do."""
    code, words = error.verify_code, error.verify_message
    if code in OUT_OF_DATE:
        return f"its certificate {OUT_OF_DATE[code]}: renew it on the server, or correct this machine's clock"
    if code in OTHER_NAME:
        return f"its certificate is for another host ({words}): use a name that it is for in --endpoint"
    return (
        f"its certificate is not signed by an authority that this machine trusts ({words}): name a PEM file with the "
        "authority's certificate, or the server's own if it is self-signed, with --ca-file"
    )


async def speaks_tls(url: str) -> bool:
    """Whether `url` is `http://`, and its server expects TLS."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: only whether there is one matters
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
