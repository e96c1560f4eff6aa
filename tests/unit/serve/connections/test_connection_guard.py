"""Which connections give way when there are too many."""

from __future__ import annotations

from rtaplatform.serve.connections.connection_guard import OpenConnection, choose_for_room, find_peer
from rtaplatform.serve.connections.networks import find_network, is_within


def make_connections(address: str, number: int, *, with_request: int = 0) -> list[OpenConnection]:
    """The first `with_request` have one, begun one second after the other; the others are silent ever longer."""
    return [
        OpenConnection((address, port), silent_ms=port, began_at=float(port) if port < with_request else None)
        for port in range(number)
    ]


def test_below_the_limit_no_connection_is_cut() -> None:
    assert list(choose_for_room(make_connections("10.0.0.1", 100), 100, 100)) == []


def test_the_address_with_the_most_gives_way() -> None:
    stranger, customers = (
        make_connections("10.0.0.1", 150),
        make_connections("10.0.0.2", 30) + make_connections("10.0.0.3", 20),
    )
    cut = list(choose_for_room(stranger + customers, 200, 180))
    assert {address for address, _ in cut} == {"10.0.0.1"}
    assert len(cut) == 200 - 135


def test_the_longest_silent_is_cut_first_then_the_newest_request() -> None:
    connections = make_connections("10.0.0.1", 8, with_request=4)
    cut = [port for _, port in choose_for_room(connections, 8, 4)]
    assert cut == [7, 6, 5, 4, 3]


def test_many_addresses_lose_equally() -> None:
    connections = [connection for last in range(10) for connection in make_connections(f"10.0.0.{last}", 10)]
    cut = [address for address, _ in choose_for_room(connections, 100, 80)]
    assert {cut.count(f"10.0.0.{last}") for last in range(10)} == {4}


def test_exempt_connections_are_never_cut() -> None:
    assert list(choose_for_room([], 500, 100)) == []


def test_a_network_of_ipv6_is_one_customer() -> None:
    assert find_network("2001:db8:1:2:3::1") == find_network("2001:db8:1:2:4::9") == "2001:db8:1:2::/64"
    assert find_network("::ffff:10.0.0.1") != find_network("::ffff:10.0.0.2")
    assert find_network("10.0.0.1") == "10.0.0.1"


def test_trusted_proxies_are_networks() -> None:
    is_trusted = is_within("10.0.0.0/8, 2001:db8::/32")
    assert [is_trusted(address) for address in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "11.0.0.1", "x", "")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert not is_within("")("10.1.2.3")


def test_a_peer_is_the_same_whether_the_server_gives_its_port_as_a_text_or_as_a_number() -> None:
    assert find_peer({"client": ("127.0.0.1", "8000")}) == ("127.0.0.1", 8000)
    assert find_peer({"client": ["127.0.0.1", 8000]}) == ("127.0.0.1", 8000)
    assert find_peer({"client": None}) is None
