"""Addresses, and the networks that they are in."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def is_within(networks: str) -> Callable[[str], bool]:
    """Whether an address is in one of these networks, which commas separate."""
    known = [ip_network(part.strip()) for part in networks.split(",") if part.strip()]

    def check(address: str) -> bool:
        found = read_address(address)
        return found is not None and any(found in network for network in known)

    return check


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address; of IPv4 in IPv6's form the former."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def network_of(address: str) -> str:
    """What one customer has: an address, or of IPv6 a network of 64 bits."""
    found = read_address(address)
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found or address)
