"""The signature on what the exchange sends: good, wrong, old, and seen before."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidders.kit.signature import (
    MAX_AGE_S,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    SignatureFault,
    open_frame,
    sign,
    sign_frame,
    sign_headers,
    verify,
)

NOW = 1_764_000_000
BODY = b'{"ping_id":"p-1"}'
SECRET = "xs_demo"


def signed(body: bytes = BODY, at: int = NOW) -> tuple[str, str]:
    headers = sign_headers(SECRET, at, body)
    return headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER]


def test_it_is_the_hmac_of_time_full_stop_and_body() -> None:
    expected = hmac.new(b"xs_demo", b"1764000000." + BODY, hashlib.sha256).hexdigest()
    assert sign(SECRET, NOW, BODY) == expected
    assert signed() == ("1764000000", f"v1={expected}")
    assert sign_frame(SECRET, NOW, BODY) == f"1764000000.{expected}\n" + BODY.decode()


@given(st.text(min_size=1), st.binary(), st.integers(0, 10**11), st.integers(-300, 300))
def test_what_was_signed_is_proven_while_it_is_young(
    secret: str, body: bytes, at: int, off_s: int
) -> None:
    secret = secret.encode("utf-8", "replace").decode()
    headers = sign_headers(secret, at, body)
    verify(secret, headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER], body, at + off_s)


def test_the_same_message_is_proven_again_while_it_is_young() -> None:
    timestamp, signature = signed()
    for later_s in (0, 1, MAX_AGE_S):
        verify(SECRET, timestamp, signature, BODY, NOW + later_s)


@pytest.mark.parametrize("off_s", [MAX_AGE_S + 1, -MAX_AGE_S - 1, 86_400])
def test_a_message_too_old_or_from_the_future_is_turned_away(off_s: int) -> None:
    timestamp, signature = signed()
    with pytest.raises(SignatureFault) as caught:
        verify(SECRET, timestamp, signature, BODY, NOW + off_s)
    assert caught.value.code == "signature_old"


TIMESTAMP, SIGNATURE = signed()


@pytest.mark.parametrize(
    ("timestamp", "signature", "body", "code"),
    [
        pytest.param(TIMESTAMP, SIGNATURE, BODY + b" ", "wrong", id="another body"),
        pytest.param(str(NOW + 1), SIGNATURE, BODY, "wrong", id="another time"),
        pytest.param(TIMESTAMP, "v1=" + "0" * 64, BODY, "wrong", id="another signature"),
        pytest.param(TIMESTAMP, SIGNATURE[3:], BODY, "wrong", id="no version"),
        pytest.param(TIMESTAMP, "v2" + SIGNATURE[2:], BODY, "wrong", id="another version"),
        pytest.param(TIMESTAMP, SIGNATURE.upper(), BODY, "wrong", id="upper case"),
        pytest.param("٣", SIGNATURE, BODY, "wrong", id="digits that are no ASCII"),
        pytest.param("9" * 5_000, SIGNATURE, BODY, "wrong", id="a time without end"),
        pytest.param(None, SIGNATURE, BODY, "missing", id="no time"),
        pytest.param(TIMESTAMP, None, BODY, "missing", id="no signature"),
        pytest.param("", "", BODY, "missing", id="both empty"),
    ],
)
def test_what_is_not_proven_is_turned_away(
    timestamp: str | None, signature: str | None, body: bytes, code: str
) -> None:
    with pytest.raises(SignatureFault) as caught:
        verify(SECRET, timestamp, signature, body, NOW)
    assert caught.value.code == f"signature_{code}"


def test_another_secret_proves_nothing() -> None:
    with pytest.raises(SignatureFault):
        verify("xs_other", TIMESTAMP, SIGNATURE, BODY, NOW)


def test_a_frame_gives_its_json_when_it_is_proven() -> None:
    frame = sign_frame(SECRET, NOW, b'[{"a":\n1}]').encode()
    assert open_frame(SECRET, frame, NOW + MAX_AGE_S) == b'[{"a":\n1}]'
    assert open_frame(None, frame, NOW + 10**6) == b'[{"a":\n1}]'
    assert open_frame(None, b"[]", NOW) == b"[]"


@pytest.mark.parametrize(
    ("frame", "now", "code"),
    [
        pytest.param(b"[]", NOW, "missing", id="not signed"),
        pytest.param(b"\xff\xfe", NOW, "missing", id="no text"),
        pytest.param(sign_frame("xs_other", NOW, b"[]").encode(), NOW, "wrong", id="another's"),
        pytest.param(sign_frame(SECRET, NOW, b"[]").encode() + b" ", NOW, "wrong", id="altered"),
        pytest.param(sign_frame(SECRET, NOW, b"[]").encode(), NOW + 301, "old", id="old"),
    ],
)
def test_a_frame_that_is_not_proven_is_turned_away(frame: bytes, now: int, code: str) -> None:
    with pytest.raises(SignatureFault) as caught:
        open_frame(SECRET, frame, now)
    assert caught.value.code == f"signature_{code}"
