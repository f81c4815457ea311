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
from tests.bidders.wire import a_client_frame


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300)), max_size=5),
    st.integers(1, 50),
)
def test_messages_are_read_whole_however_their_bytes_arrive(
    said: list[tuple[int, bytes]], step: int
) -> None:
    stream = b"".join(a_client_frame(opcode, payload) for opcode, payload in said)
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
    assert FrameReader().feed(a_client_frame(TEXT, payload)) == [Message(TEXT, payload)]
    written = write_frame(TEXT, payload)
    assert written == a_client_frame(TEXT, payload, masked=False)


def test_fragments_are_put_together_around_a_control_frame() -> None:
    stream = (
        a_client_frame(TEXT, b"one ", final=False)
        + a_client_frame(PING, b"there?")
        + a_client_frame(CONTINUATION, b"two ", final=False)
        + a_client_frame(CONTINUATION, b"three")
    )
    assert FrameReader().feed(stream) == [
        Message(PING, b"there?"),
        Message(TEXT, b"one two three"),
    ]


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(a_client_frame(TEXT, b"x", masked=False), id="not masked"),
        pytest.param(a_client_frame(TEXT | 0x40, b"x"), id="an extension nobody agreed to"),
        pytest.param(a_client_frame(CONTINUATION, b"x"), id="a fragment of nothing"),
        pytest.param(
            a_client_frame(TEXT, b"x", final=False) + a_client_frame(TEXT, b"y"),
            id="mixed messages",
        ),
        pytest.param(a_client_frame(CLOSE, b"x" * 126), id="a control frame too long"),
        pytest.param(a_client_frame(PING, b"", final=False), id="a control frame in pieces"),
        pytest.param(b"\x81\xff" + (1 << 62).to_bytes(8, "big"), id="far too large"),
        pytest.param(
            a_client_frame(TEXT, b"x" * 600, final=False)
            + a_client_frame(CONTINUATION, b"x" * 600),
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
