"""What is sent to S3 over HTTP, counted where it leaves the process."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


class S3Requests:
    """The requests since the last `clear`: (method, key or prefix)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from aiobotocore.httpsession import AIOHTTPSession

        self.sent: list[tuple[str, str]] = []
        real = AIOHTTPSession.send

        async def send(session: Any, request: Any) -> Any:
            url = urlsplit(request.url)
            query = parse_qs(url.query)
            key = url.path.lstrip("/").partition("/")[2]
            method = "LIST" if "list-type" in query else request.method
            self.sent.append((method, query.get("prefix", [key])[0]))
            return await real(session, request)

        monkeypatch.setattr(AIOHTTPSession, "send", send)

    def clear(self) -> None:
        """Start counting from zero."""
        self.sent.clear()

    def below(self, folder: str) -> Counter[str]:
        """How many requests of each method were for keys below a folder of the bucket, or for its listing."""
        return Counter(method for method, key in self.sent if key.startswith(folder))
