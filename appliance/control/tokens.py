"""Roles, the right to see payloads, and which token has them: every token is compared, in constant time."""

import hmac
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from appliance.core.config import TokenConfig

ADMIN_NAME = "admin"
"""How the token in DATA/admin.token is called."""


class Role(IntEnum):
    """What a token may do; each role may do what the ones before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


class Holder(NamedTuple):
    """Whoever sends a token."""

    name: str
    role: Role
    payloads: bool
    """Whether the content of events may be seen."""


class Keyring:
    """All tokens of one process.

    Args:
        admin: the token in DATA/admin.token: role admin, payloads included.
        tokens: those of the configuration.
    """

    def __init__(self, admin: str, tokens: Mapping[str, TokenConfig]) -> None:
        self._holders = [(admin.encode(), Holder(ADMIN_NAME, Role.ADMIN, True))]
        for name, config in tokens.items():
            holder = Holder(name, Role[config.role.upper()], config.payloads)
            self._holders.append((config.token.reveal().encode("utf-8", "surrogatepass"), holder))

    @classmethod
    def empty(cls) -> "Keyring":
        """Knows nobody; before the admin listener has started."""
        keyring = cls("", {})
        keyring._holders.clear()
        return keyring

    def holder(self, authorization: str | None) -> Holder | None:
        """Who sends this Authorization header; None for nobody we know. How long it takes tells nothing.

        A token that was given out twice counts as the first holder's.
        """
        scheme, _, candidate = (authorization or "").partition(" ")
        given = candidate.strip().encode("utf-8", "surrogateescape")
        found: Holder | None = None
        for token, holder in self._holders:
            same = hmac.compare_digest(given, token)
            found = holder if same and found is None else found
        return found if scheme.lower() == "bearer" else None
