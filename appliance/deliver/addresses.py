"""Which network addresses a plug-in may connect to. Pure; asked for every address at the moment of connecting."""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local; 169.254.169.254 hands out credentials on most clouds
        "fe80::/10",
        "fd00:ec2::254/128",  # AWS
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's wire server
    )
)
_EMBEDDED = ipaddress.ip_network("64:ff9b::/96")
"""Translated IPv4 (RFC 6052): the last 32 bits are the address behind it."""


def parse_networks(texts: Sequence[str]) -> list[Network]:
    """Networks in CIDR, or single addresses; valid texts only, as the configuration has checked them."""
    return [ipaddress.ip_network(text, strict=False) for text in texts]


def refusal(address: str, allowed: Sequence[Network] = ()) -> str:
    """Why this address must not be connected to, or "" where it may be.

    Private networks and loopback are fine; metadata services and link-local never are, in whatever disguise (an
    IPv4 address inside an IPv6 one). A name is checked by the addresses it stands for, so it cannot change between
    check and use.

    Args:
        address: numeric, an IPv6 zone (`%eth0`) included.
        allowed: where given, the address must lie in one of these as well.
    """
    try:
        meant = _meant(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return f"{address} is no network address"
    if any(meant in network for network in _NEVER):
        return f"connecting to {meant} is never allowed: link-local or a metadata service"
    if allowed and not any(meant in network for network in allowed):
        return f"connecting to {meant} is not allowed: not in outbound.allow"
    return ""


def _meant(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where there is one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _EMBEDDED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address
