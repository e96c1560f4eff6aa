"""Addresses, and their networks."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


def is_within(networks: str) -> Callable[[str], bool]:
    """Return a function that tells whether an address is in one of these networks, which commas separate."""
    parsed_networks = parse_networks(networks)

    def check(address: str) -> bool:
        ip = read_address(address)
        return ip is not None and any(ip in network for network in parsed_networks)

    return check


def parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read networks that commas separate."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address. An IPv4 address in IPv6 notation becomes IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def find_network(address: str) -> str:
    """Return what one customer has: an IPv4 address, or an IPv6 network of 64 bits."""
    ip = read_address(address)
    return str(ip_network((ip, 64), strict=False)) if isinstance(ip, IPv6Address) else str(ip or address)
