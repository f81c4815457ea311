"""The exchange's signature: how to know that a ping or a lead came from it, and just now.

Pure: the time is passed in. Over HTTP the signature is in two headers; in a bid stream it is a
frame's first line. Both are HMAC-SHA256 of the time, a full stop, and the JSON as sent.
Source: the wire (bidders/README.md, Verify).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

TIMESTAMP_HEADER: Final = "X-Exchange-Timestamp"
SIGNATURE_HEADER: Final = "X-Exchange-Signature"
MAX_AGE_S: Final = 300
"""How old a signature may be, and how far ahead of our own clock: what was overheard is worth
nothing later, and clocks that differ by minutes do no harm."""

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_SIGNATURE: Final = re.compile(r"v1=([0-9a-f]{64})")
_FRAME_HEAD: Final = re.compile(rb"([0-9]{1,12})\.([0-9a-f]{64})\n")


class SignatureFault(Exception):
    """The message is not proven to be the exchange's; ``code`` says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Compute the signature, in hex; ``timestamp`` in unix seconds."""
    message = b"%d.%b" % (timestamp, body)
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def sign_headers(secret: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Make the headers of a signed request."""
    signature = f"v1={sign(secret, timestamp, body)}"
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: signature}


def sign_frame(secret: str, timestamp: int, body: bytes) -> str:
    """Make a signed frame of a bid stream; ``body`` is JSON."""
    return f"{timestamp}.{sign(secret, timestamp, body)}\n{body.decode()}"


def verify(
    secret: str, timestamp: str | None, signature: str | None, body: bytes, now: float
) -> None:
    """Check the two headers against the body as it came; ``now`` in unix seconds.

    The same message may come again while it is young: whoever must not do things twice goes by
    the message's own id. Raises SignatureFault.
    """
    if not timestamp or not signature:
        raise SignatureFault("signature_missing", "the request is not signed")
    said = _SIGNATURE.fullmatch(signature)
    if said is None or not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureFault("signature_wrong", "the signature's headers cannot be read")
    _check(secret, int(timestamp), said[1], body, now)


def open_frame(secret: str | None, frame: bytes, now: float) -> bytes:
    """Check a bid stream's frame and return its JSON; without a secret, only take it apart.

    Raises SignatureFault.
    """
    head = _FRAME_HEAD.match(frame)
    if head is None:
        if secret is None:
            return frame
        raise SignatureFault("signature_missing", "the frame does not begin with a signature")
    body = frame[head.end() :]
    if secret is not None:
        _check(secret, int(head[1]), head[2].decode(), body, now)
    return body


def _check(secret: str, timestamp: int, signature: str, body: bytes, now: float) -> None:
    # The proof first: only then is the time the exchange's own word.
    if not hmac.compare_digest(sign(secret, timestamp, body), signature):
        raise SignatureFault("signature_wrong", "the signature is not that of this message")
    if abs(now - timestamp) > MAX_AGE_S:
        raise SignatureFault(
            "signature_old", f"the signature is more than {MAX_AGE_S} s from this clock"
        )
