"""Suppression lists over the wire: files of contacts, one a line (rules: §3.2)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange.flow.faults import Conflict
from exchange.web.contacts import key_hashes
from exchange.web.suppression_lines import LONGEST_LINE_BYTES, MOST_TOLD, ContactLines
from tests.web.conftest import HASH_KEY, Wire

LIST = "/v1/companies/company-1/suppressions"
PHONE, EMAIL = "+14155550101", "ann.lee@example.com"


def key(field: str, normalised: str) -> bytes:
    """A contact's keyed hash, as a ping that has it is given."""
    digest = hashlib.sha256(normalised.encode()).hexdigest()
    return bytes.fromhex(key_hashes({field: digest}, HASH_KEY)[field])


def read(text: str | bytes, size: int = 7) -> Collected:
    """Lines as they come in small pieces."""
    lines = Collected(HASH_KEY)
    data = text.encode() if isinstance(text, str) else text
    for at in range(0, len(data), size):
        lines.keys += [keys for keys in lines.feed(data[at : at + size]) if keys is not None]
    lines.keys += lines.end()
    return lines


class Collected(ContactLines):
    """Lines that keep what they read."""

    def __init__(self, hash_key: bytes) -> None:
        super().__init__(hash_key)
        self.keys: list[tuple[bytes, ...]] = []


def keys_in(text: str | bytes) -> list[tuple[bytes, ...]]:
    lines = read(text)
    assert not lines.invalid, lines.invalid_lines
    return lines.keys


# --- lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "+14155550101", "(415) 555-0101", "415.555.0101", "4155550101", " 1 415 555 0101 ",
        "phone,415-555-0101", "PHONE;+1 415 555 0101", '"phone","+14155550101"', "+14155550101,",
    ],
)  # fmt: skip
def test_a_phone_number_is_read_however_it_is_written(line: str) -> None:
    assert keys_in(line) == [(key("phone", PHONE),)]


@pytest.mark.parametrize("line", [EMAIL, " Ann.Lee@Example.COM ", f"email\t{EMAIL}"])
def test_an_email_address_is_read_as_a_ping_has_it(line: str) -> None:
    assert keys_in(line) == [(key("email", EMAIL),)]


def test_a_bare_hash_stands_for_a_phone_number_and_an_email_address() -> None:
    digest = hashlib.sha256(PHONE.encode()).hexdigest()
    assert keys_in(digest.upper()) == [(key("email", PHONE), key("phone", PHONE))]
    assert keys_in(f"phone,{digest}") == keys_in(f"phone\n{digest}") == [(key("phone", PHONE),)]


def test_headings_and_empty_lines_and_a_byte_order_mark_are_no_contacts() -> None:
    text = f"\ufeffkind,contact\r\n\r\nphone,{PHONE}\r\n   \r\nemail,{EMAIL}\r\n"
    assert keys_in(text) == [(key("phone", PHONE),), (key("email", EMAIL),)]


@pytest.mark.parametrize("heads", ["phone,email", "Email;Phone"])
def test_a_line_under_both_headings_names_a_contact_of_either(heads: str) -> None:
    cells = {"phone": "415-555-0101", "email": EMAIL}
    apart = "," if "," in heads else ";"
    names = heads.lower().split(apart)
    both = apart.join(cells[name] for name in names)
    second = apart + cells[names[1]]
    lines = read(f"{heads}\n{both}\n{cells[names[0]]}{apart}\n{second}\n{EMAIL}\nno\n")
    keys = {"phone": (key("phone", PHONE),), "email": (key("email", EMAIL),)}
    first_two = [keys[name] for name in names]
    assert lines.keys == [*first_two, *first_two, keys["email"]]
    assert (lines.lines, lines.named, lines.invalid) == (5, 5, 1)
    assert [one.line for one in lines.invalid_lines] == [6]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("12", "is not a phone number, nor a SHA-256 in hex"),
        ("ann@", "is not an email address, nor a SHA-256 in hex"),
        ("a" * 63, "is not a phone number, nor a SHA-256 in hex"),
        (f"{PHONE},{EMAIL}", "has more than a contact in it"),
        (b"\xff\xfe", "is not UTF-8"),
        ("x" * (LONGEST_LINE_BYTES + 1), "is too long"),
        ("x" * (LONGEST_LINE_BYTES * 5), "is too long"),
    ],
)
def test_a_line_that_names_no_contact_is_told_by_its_number(
    line: str | bytes, problem: str
) -> None:
    data = line if isinstance(line, bytes) else line.encode()
    lines = read(b"\n" + PHONE.encode() + b"\n" + data + b"\n" + EMAIL.encode())
    assert (lines.lines, lines.invalid) == (3, 1)
    assert [(one.line, one.problem) for one in lines.invalid_lines] == [(3, problem)]


def test_of_many_invalid_lines_the_first_are_told_and_all_are_counted() -> None:
    lines = read("nobody\n" * 250, size=1_000)
    assert (lines.invalid, len(lines.invalid_lines)) == (250, MOST_TOLD)


@given(st.from_regex(r"[(]?[2-9][0-9]{2}[)]?[ .-]?[0-9]{3}[ .-]?[0-9]{4}", fullmatch=True))
def test_a_number_as_americans_write_it_is_read_as_the_phone_library_reads_it(text: str) -> None:
    number = phonenumbers.parse(text, "US")
    assert phonenumbers.is_possible_number(number)
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert keys_in(text) == [(key("phone", written),)]


@given(st.lists(st.sampled_from([PHONE, EMAIL, "nobody", ""])), st.integers(1, 40))
def test_lines_are_the_same_however_their_bytes_come(given: list[str], size: int) -> None:
    text = "\n".join(given)
    once, pieces = read(text, size=10_000), read(text, size)
    assert (pieces.keys, pieces.lines, pieces.invalid) == (once.keys, once.lines, once.invalid)


# --- calls ----------------------------------------------------------------------------------------


async def test_an_upload_tells_what_was_new_and_there_already_and_invalid(wire: Wire) -> None:
    first = await wire.call("POST", LIST, raw=f"{PHONE}\n".encode(), key="company")
    assert first.json["accepted"] == 1
    body = f"{PHONE}\nnobody\n{EMAIL}\n".encode()
    answer = await wire.call("POST", LIST, raw=body, key="operator")
    assert answer.json == {
        "company_id": "company-1",
        "lines": 3,
        "invalid": 1,
        "invalid_lines": [{"line": 2, "problem": "is not a phone number, nor a SHA-256 in hex"}],
        "contacts": 2,
        "accepted": 1,
        "already_there": 1,
    }
    assert wire.doors.listed.lists["company-1"] == {key("phone", PHONE), key("email", EMAIL)}


async def test_no_answer_and_no_log_has_a_contact_in_it(wire: Wire) -> None:
    answer = await wire.call(
        "POST", LIST, raw=f"phone,{EMAIL}\n{PHONE}0000".encode(), key="company"
    )
    assert b"ann" not in answer.body and b"4155550101" not in answer.body
    assert "ann" not in str(wire.log.__dict__)


async def test_a_list_is_replaced_and_counted_and_dropped(wire: Wire) -> None:
    await wire.call("POST", LIST, raw=PHONE.encode(), key="company")
    replaced = await wire.call("PUT", LIST, raw=EMAIL.encode(), key="company")
    assert (replaced.json["accepted"], replaced.json["contacts"]) == (1, 1)
    assert (await wire.call("GET", LIST, key="company")).json["contacts"] == 1
    assert (await wire.call("DELETE", LIST, key="company")).json["removed"] == 1
    shown = (await wire.call("GET", LIST, key="company")).json
    assert (shown["contacts"], shown["changed_at"]) == (0, None)


async def test_a_file_without_a_contact_replaces_nothing(wire: Wire) -> None:
    await wire.call("POST", LIST, raw=PHONE.encode(), key="company")
    for body in (b"", b"phone\n", b"%PDF-1.7\n\x00\xff\n"):
        answer = await wire.call("PUT", LIST, raw=body, key="company")
        assert (answer.status, answer.json["code"]) == (422, "no_contacts")
    assert (await wire.call("GET", LIST, key="company")).json["contacts"] == 1
    assert len(wire.doors.listed.new) == 1


async def test_contacts_are_taken_off_whichever_way_they_are_named(wire: Wire) -> None:
    await wire.call("POST", LIST, raw=f"{PHONE}\n{EMAIL}".encode(), key="company")
    digest = hashlib.sha256(EMAIL.encode()).hexdigest()
    body = f"{digest}\n(415) 555-0101\n415-555-0199".encode()
    answer = await wire.call("POST", f"{LIST}/removals", raw=body, key="company")
    assert (answer.json["removed"], answer.json["not_there"]) == (2, 1)
    assert answer.json["contacts"] == 0


async def test_a_body_far_beyond_the_usual_bound_is_taken_piece_by_piece(wire: Wire) -> None:
    total = 30_000

    async def body() -> AsyncIterator[bytes]:
        for first in range(0, total, 1_000):
            yield b"".join(b"+1415%07d\n" % n for n in range(first, first + 1_000))

    async with wire.session.put(
        f"http://127.0.0.1:{wire.port}{LIST}",
        data=body(),
        headers={"Authorization": "Bearer key-of-company"},
    ) as response:
        answer = await response.json()
    assert (answer["accepted"], answer["invalid"]) == (total, 0)


async def test_an_upload_beyond_its_bound_is_413_and_tells_how_far_it_came(wire: Wire) -> None:
    site = wire.server._site
    site.limits = replace(site.limits, max_upload_bytes=800_000)

    async def body() -> AsyncIterator[bytes]:
        for first in range(0, 100_000, 5_000):
            yield b"".join(b"+1415%07d\n" % n for n in range(first, first + 5_000))
            await asyncio.sleep(0)

    async with wire.session.post(
        f"http://127.0.0.1:{wire.port}{LIST}",
        data=body(),
        headers={"Authorization": "Bearer key-of-company"},
    ) as response:
        answer = await response.json()
    assert (response.status, answer["code"]) == (413, "body_too_large")
    assert 0 < answer["details"]["kept"] < 100_000


async def test_an_upload_that_pauses_too_long_is_408(wire: Wire) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"+14155550101\n"
        await asyncio.sleep(3)

    async with wire.session.post(
        f"http://127.0.0.1:{wire.port}{LIST}",
        data=body(),
        headers={"Authorization": "Bearer key-of-company"},
    ) as response:
        answer = await response.json()
    assert (response.status, answer["code"]) == (408, "body_too_slow")


async def test_a_list_that_takes_no_more_is_a_conflict_with_its_progress(wire: Wire) -> None:
    wire.doors.listed.fault = Conflict("full", code="suppression_list_full")
    answer = await wire.call("POST", LIST, raw=f"nobody\n{PHONE}".encode(), key="company")
    assert (answer.status, answer.json["code"]) == (409, "suppression_list_full")
    assert answer.json["details"] == {"lines": 2, "invalid": 1, "kept": 0}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/csv; charset=utf-8"}, 200),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 200),
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "text/csv", "Content-Encoding": "gzip"}, 415),
    ],
)
async def test_a_list_is_plain_lines(wire: Wire, headers: dict[str, str], status: int) -> None:
    answer = await wire.call("POST", LIST, raw=PHONE.encode(), key="company", headers=headers)
    assert answer.status == status
