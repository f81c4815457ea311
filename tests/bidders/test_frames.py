"""WebSocket frames: what RFC 6455 asks of a server, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidders.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    FrameFault,
    FrameReader,
    Message,
    switch_protocols,
    write_frame,
)

KEY = b"\x01\x02\x03\x04"


def from_client(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    """A client's frame, made byte by byte and apart from the code under test."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65_536:
        length = bytes([126]) + size.to_bytes(2, "big")
    else:
        length = bytes([127]) + size.to_bytes(8, "big")
    first = bytes([opcode | (0x80 if final else 0)])
    if not masked:
        return first + length + payload
    hidden = bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))
    return first + bytes([length[0] | 0x80]) + length[1:] + KEY + hidden


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300)), max_size=5),
    st.integers(1, 50),
)
def test_messages_are_read_whole_however_their_bytes_arrive(
    said: list[tuple[int, bytes]], step: int
) -> None:
    stream = b"".join(from_client(opcode, payload) for opcode, payload in said)
    reader = FrameReader()
    heard = [
        message
        for at in range(0, len(stream), step)
        for message in reader.feed(stream[at : at + step])
    ]
    assert heard == [Message(opcode, payload) for opcode, payload in said]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_every_form_of_length_is_read_and_written(size: int) -> None:
    payload = b"x" * size
    assert FrameReader().feed(from_client(TEXT, payload)) == [Message(TEXT, payload)]
    written = write_frame(TEXT, payload)
    assert written == from_client(TEXT, payload, masked=False)


def test_fragments_are_put_together_around_a_control_frame() -> None:
    stream = (
        from_client(TEXT, b"one ", final=False)
        + from_client(PING, b"there?")
        + from_client(CONTINUATION, b"two ", final=False)
        + from_client(CONTINUATION, b"three")
    )
    assert FrameReader().feed(stream) == [
        Message(PING, b"there?"),
        Message(TEXT, b"one two three"),
    ]


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(from_client(TEXT, b"x", masked=False), id="not masked"),
        pytest.param(from_client(TEXT | 0x40, b"x"), id="an extension nobody agreed to"),
        pytest.param(from_client(CONTINUATION, b"x"), id="a fragment of nothing"),
        pytest.param(
            from_client(TEXT, b"x", final=False) + from_client(TEXT, b"y"), id="mixed messages"
        ),
        pytest.param(from_client(CLOSE, b"x" * 126), id="a control frame too long"),
        pytest.param(from_client(PING, b"", final=False), id="a control frame in pieces"),
        pytest.param(b"\x81\xff" + (1 << 62).to_bytes(8, "big"), id="far too large"),
        pytest.param(
            from_client(TEXT, b"x" * 600, final=False) + from_client(CONTINUATION, b"x" * 600),
            id="too large in all",
        ),
    ],
)
def test_what_breaks_the_protocol_is_a_fault(stream: bytes) -> None:
    with pytest.raises(FrameFault):
        FrameReader(max_message_bytes=1_000).feed(stream)


def test_a_handshake_is_answered_with_the_hash_of_its_key() -> None:
    key = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3, with the answer it gives
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in switch_protocols(key)
