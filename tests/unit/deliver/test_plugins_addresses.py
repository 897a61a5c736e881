"""Which addresses may be connected to, as a rule and on real sockets."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.deliver.addresses import parse_networks, refusal

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
]
FINE = [
    "127.0.0.1",
    "10.1.2.3",
    "192.168.0.1",
    "172.16.0.1",
    "::1",
    "fd00::1",
    "8.8.8.8",
    "2001:db8::1",
    "0.0.0.0",
    "100.100.100.201",
    "169.253.255.255",
    "169.255.0.0",
]


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_link_local_are_never_allowed(address: str) -> None:
    assert "never allowed" in refusal(address)
    assert "never allowed" in refusal(address, parse_networks(["0.0.0.0/0", "::/0"]))


@pytest.mark.parametrize("address", FINE)
def test_private_and_public_networks_are(address: str) -> None:
    assert refusal(address) == ""


@given(st.sampled_from([a for a in NEVER if "." in a]).map(ipaddress.IPv4Address))
def test_no_disguise_helps(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for disguised in (
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))),
        str(ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF))),
    ):
        assert "never allowed" in refusal(disguised), disguised


def test_a_zone_does_not_hide_an_address_and_no_address_is_refused() -> None:
    assert "never allowed" in refusal("fe80::1%eth0")
    for text in ("", "metadata", "1.2.3", "1.2.3.4.5"):
        assert "is no network address" in refusal(text)


ALLOWED = parse_networks(["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"])
CARRIES_IPV4 = [ipaddress.IPv6Network(text) for text in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32")]


def inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address in network for network in ALLOWED)


@given(st.ip_addresses().filter(lambda address: not any(address in network for network in CARRIES_IPV4)))
def test_an_allow_list_lets_through_exactly_its_networks(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    assert (refusal(str(address), ALLOWED) == "") == inside(address)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=4, network="10.0.0.0/8"))
def test_an_allow_list_judges_the_address_that_another_carries(address: ipaddress.IPv4Address) -> None:
    for carrier in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert refusal(carrier, ALLOWED) == refusal(str(address), ALLOWED)
        assert (refusal(carrier, ALLOWED) == "") == inside(address)
