"""How settings name secrets without holding them: `env:NAME` or `block:NAME`, and what must be named that way.

Settings are stored in clear: in files, in a run's summary, in Prefect's database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

KINDS = {
    "env": (re.compile(r"[A-Za-z_][A-Za-z0-9_]*"), "the name of an environment variable (letters, digits, _)"),
    "block": (re.compile(r"[a-z0-9][a-z0-9-]*"), "the name of a Prefect Secret block (lower case, digits, hyphens)"),
}
"""Where a secret may be: the pattern of its name there, and what that is in words."""

NOT_IN_HEADERS = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")
"""Characters that no header, and so no key, may have."""

_REFERENCE = re.compile(rf"(?:(?P<scheme>[A-Za-z][\w-]*) +)?(?P<kind>{'|'.join(KINDS)}):(?P<name>.*)", re.DOTALL)

_CREDENTIAL = re.compile(
    r"(?:key|token|secret|password|passwd|pwd|auth|authorization|cookie|credentials?|signature|jwt)\d*$|"
    r"^(?:sig|code|pat)$"
)
"""Names of headers and parameters, in lower case, whose value is a secret: `api-key`, `X-Auth-Token`, `sig`."""

_SECRET_VALUE = re.compile(r"(?:bearer|basic|digest|token|apikey|api-key) +\S|\bsk-\w{8,}", re.IGNORECASE)


@dataclass(frozen=True)
class Reference:
    """Where a secret is read when it is needed.

    `kind`: one of `KINDS`. `scheme`: a word to be put before the secret, such as `Bearer`.
    """

    kind: str
    name: str
    scheme: str = ""

    @classmethod
    def of(cls, value: str) -> Reference | None:
        """The reference that `value` is; None for a value that stands for itself.

        Raises ValueError, without the value, when the name cannot be one: it may be the secret itself.

        >>> Reference.of("Bearer env:GATEWAY_TOKEN")
        Reference(kind='env', name='GATEWAY_TOKEN', scheme='Bearer')
        """
        found = _REFERENCE.fullmatch(value)
        if found is None:
            return None
        pattern, words = KINDS[found["kind"]]
        if pattern.fullmatch(found["name"]) is None:
            raise ValueError(f"expected {words} after {found['kind']}:, got something else")
        return cls(found["kind"], found["name"], found["scheme"] or "")


def names_credential(name: str) -> bool:
    """Whether the value of a header or parameter of this name is a secret.

    >>> names_credential("X-Api-Key"), names_credential("x-portkey-provider")
    (True, False)
    """
    return _CREDENTIAL.search(name.lower()) is not None


def looks_secret(value: str) -> bool:
    """Whether a value has the form of a secret, whatever it is called."""
    return _SECRET_VALUE.search(value) is not None
