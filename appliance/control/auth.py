"""Who may speak to the admin API: a token in DATA/admin.token, and the names under which loopback may be called."""

import ipaddress
import secrets
from pathlib import Path

from appliance.core import durable, logs
from appliance.core.errors import SternpostError
from appliance.core.secret import TOKEN_CHARACTERS_MIN

TOKEN_FILE = "admin.token"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class TokenError(SternpostError):
    """The admin token can neither be read nor made."""


def kept_token(data: Path) -> str:
    """The token of a data folder, made on first use with mode 0600.

    A token that others can read is replaced: it may have been read.

    Raises:
        TokenError: the file cannot be used; the text says why.
    """
    path = data / TOKEN_FILE
    try:
        if path.exists() and not path.stat().st_mode & 0o077:
            token = path.read_text(encoding="ascii").strip()
            if len(token) < TOKEN_CHARACTERS_MIN:
                raise TokenError(f"{path} holds no token; delete the file, and a new one is made")
        else:
            token = _made(path)
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"{path} cannot be used: {error}; the admin API does not start without its token") from None
    logs.hide(token)
    return token


def host_allowed(host_header: str | None, local_address: str, listen_host: str) -> bool:
    """Whether a request may carry this Host header.

    A web page can point a name of its own at 127.0.0.1 and so reach what listens there (DNS rebinding); its requests
    carry that name. So what comes in by loopback must have been called by a loopback name. Elsewhere the token alone
    decides.

    Args:
        host_header: as sent, perhaps with a port.
        local_address: our end of the connection.
        listen_host: as configured.
    """
    if not _loopback(local_address):
        return True
    host = _without_port(host_header or "")
    return host in _LOOPBACK_NAMES or _loopback(host) or host == listen_host.lower()


def _made(path: Path) -> str:
    """A fresh token."""
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(32)
    durable.replace(path, f"{token}\n".encode())
    return token


def _without_port(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
