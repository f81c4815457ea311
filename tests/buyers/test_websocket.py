"""WebSocket framing, held against the RFC's own examples and any way bytes may be cut."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.buyers.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameReader,
    FrameWriter,
    WebSocketBroken,
    mask,
)

MAX_BYTES = 100_000


def server_frame(payload: bytes, opcode: int = TEXT, *, last: bool = True) -> bytes:
    """A frame as a server sends it: not masked."""
    first = (0x80 if last else 0) | opcode
    if len(payload) < 126:
        return struct.pack("!BB", first, len(payload)) + payload
    if len(payload) < 1 << 16:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


def test_masking_is_the_rfcs() -> None:
    # RFC 6455 §5.7: a single-frame masked text message "Hello".
    assert mask(b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("7f9f4d5158")


@given(payload=st.binary(max_size=300), key=st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing(payload: bytes, key: bytes) -> None:
    assert mask(mask(payload, key), key) == payload


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 90_000])
def test_a_frame_written_is_masked_and_has_its_length(size: int) -> None:
    writer = FrameWriter()
    payload = bytes(range(256)) * (size // 256 + 1)
    frame = writer.write(BINARY, payload[:size])
    assert frame[0] == 0x80 | BINARY
    assert frame[1] & 0x80
    short = frame[1] & 0x7F
    more = {126: 2, 127: 8}.get(short, 0)
    said = int.from_bytes(frame[2 : 2 + more], "big") if more else short
    key, masked = frame[2 + more : 6 + more], frame[6 + more :]
    assert said == len(masked) == size
    assert mask(masked, key) == payload[:size]


def test_no_two_frames_have_the_same_mask() -> None:
    writer = FrameWriter()
    keys = {writer.write(TEXT, b"x")[2:6] for _ in range(3_000)}
    assert len(keys) > 2_990


@given(
    payloads=st.lists(st.binary(max_size=400), max_size=8),
    cuts=st.lists(st.integers(1, 300), min_size=1, max_size=40),
)
def test_messages_are_the_same_however_their_bytes_are_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    wire = b""
    for payload in payloads:
        half = len(payload) // 2
        wire += server_frame(payload[:half], last=False)
        wire += server_frame(b"p", PING)
        wire += server_frame(payload[half:], 0)
    reader, messages = FrameReader(MAX_BYTES), []
    at, turn = 0, 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        messages += reader.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert [m for m in messages if m[0] == TEXT] == [(TEXT, payload) for payload in payloads]
    assert len([m for m in messages if m[0] == PING]) == len(payloads)


def test_a_long_message_arrives_whole() -> None:
    payload = b"x" * 90_000
    reader = FrameReader(MAX_BYTES)
    wire = server_frame(payload) + server_frame(b"next", PONG)
    assert reader.feed(wire[:70_000]) == []
    assert reader.feed(wire[70_000:]) == [(TEXT, payload), (PONG, b"next")]


@pytest.mark.parametrize(
    "wire",
    [
        b"\x81\x85\x00\x00\x00\x00Hello",
        b"\xc1\x05Hello",
        server_frame(b"x" * (MAX_BYTES + 1))[:20],
        server_frame(b"x" * 60_000, last=False) + server_frame(b"x" * 60_000, 0),
        server_frame(b"x", 0),
        server_frame(b"x", last=False) + server_frame(b"x"),
        server_frame(b"x", PING, last=False),
        server_frame(b"x" * 126, CLOSE),
        server_frame(b"", last=False) + server_frame(b"", 0, last=False) * (MAX_BYTES + 1),
    ],
    ids=[
        *("masked", "reserved bits", "too long", "too long in parts", "a part of nothing"),
        *("a message in a message", "a ping in parts", "a long close", "endless empty parts"),
    ],
)
def test_what_no_server_may_send_breaks_the_stream(wire: bytes) -> None:
    with pytest.raises(WebSocketBroken):
        FrameReader(MAX_BYTES).feed(wire)
