"""Where requests to companies may go: only to the public internet, unless allowed."""

import socket
from collections.abc import Sequence

import pytest

from exchange.buyers.addresses import (
    AddressNotAllowed,
    Resolve,
    check_url,
    guarded_socket,
    is_public,
    resolve_host,
)

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.0.1",
    "172.32.0.1",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "64:ff9b::808:808",
]


def gives(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return addresses

    return resolve


def in_url(address: str) -> str:
    return f"https://[{address.replace('%', '%25')}]/x" if ":" in address else f"http://{address}/x"


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_address_that_is_not_public_is_refused_everywhere(address: str) -> None:
    assert not is_public(address)
    assert await check_url(in_url(address), allow_private=False) is not None
    name = "https://crm.example/leads"
    assert await check_url(name, allow_private=False, resolve=gives(address)) is not None
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(AddressNotAllowed):
        guarded_socket((family, socket.SOCK_STREAM, 0, "", (address, 80)))


@pytest.mark.parametrize("address", PUBLIC)
async def test_a_public_address_is_let_through(address: str) -> None:
    assert is_public(address)
    assert await check_url(in_url(address), allow_private=False) is None
    name = "https://crm.example/leads"
    assert await check_url(name, allow_private=False, resolve=gives(address)) is None
    if ":" not in address:
        guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 80))).close()


@pytest.mark.parametrize("nonsense", ["", "crm.example", "1.2.3", "0x7f.0.0.1", "::g"])
def test_what_is_no_address_is_not_public(nonsense: str) -> None:
    assert not is_public(nonsense)


async def test_one_private_address_among_public_ones_spoils_a_name() -> None:
    mixed = gives("8.8.8.8", "10.0.0.1")
    assert await check_url("https://crm.example/", allow_private=False, resolve=mixed)


async def test_a_name_that_does_not_resolve_yet_may_be_saved() -> None:
    assert await check_url("https://crm.example/", allow_private=False, resolve=gives()) is None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "a.localhost", "0x7f.1"])
async def test_the_own_machine_is_refused_by_any_name(host: str) -> None:
    own = gives("127.0.0.1")
    assert await check_url(f"http://{host}:8080/", allow_private=False, resolve=own)


@pytest.mark.parametrize("address", [*PRIVATE[:6], "::1", "fd12::1"])
async def test_private_addresses_are_fine_where_they_are_allowed(address: str) -> None:
    assert await check_url(in_url(address), allow_private=True) is None


async def test_a_name_is_not_looked_up_where_everything_is_allowed() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        raise AssertionError

    url = "http://crm.internal:8080/"
    assert await check_url(url, allow_private=True, resolve=never) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example",
        "//crm.example/",
        "/leads",
        "ftp://crm.example/",
        "ws://crm.example/",
        "tcp://crm.example/",
        "file:///etc/passwd",
        "http://",
        "http:///leads",
        "http://:80/",
        "http://user@crm.example/",
        "http://user:secret@crm.example/",
        "http://@crm.example/",
        "http://8.8.8.8@crm.example/",
        "http://crm.example:0/",
        "http://crm.example:65536/",
        "http://crm.example:-1/",
        "http://crm.example:http/",
        "http://crm example/",
        "http://crm.example/a b",
        " http://crm.example/",
        "http://crm.\texample/",
        "http://crm.example/\r\nX: y",
        "http://crm.example\\@10.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://2130706433/",
        "http://127.1/",
        "http://1.2.3.4.5/",
        "http://-/",
        "http://[::1/",
        "http://[1.2.3.4]/",
        "http://crm.example/" + "x" * 2_048,
    ],
    ids=lambda url: repr(url[:40]),
)
@pytest.mark.parametrize("allow_private", [False, True])
async def test_a_url_no_lead_can_go_to_is_refused_with_a_sentence(
    url: str, allow_private: bool
) -> None:
    problem = await check_url(url, allow_private=allow_private, resolve=gives("8.8.8.8"))
    assert problem is not None
    assert problem.startswith("must ")


@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example/leads?key=a@b",
        "HTTPS://CRM.example",
        "http://crm.example:8080/",
        "https://crm.example:65535/",
        "https://müller.example/leads",
        "https://a_b.crm.example./x#y",
    ],
)
async def test_an_ordinary_url_is_let_through(url: str) -> None:
    assert await check_url(url, allow_private=False, resolve=gives("8.8.8.8")) is None


async def test_names_are_looked_up_as_the_machine_does() -> None:
    assert set(await resolve_host("localhost", 80)) <= {"127.0.0.1", "::1"}
