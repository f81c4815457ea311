"""The signature by which a bidder knows the exchange, held against the standard library's."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from exchange.buyers.signing import Signer, signing_secret
from exchange.core.model import CompanyId

KEY = b"k" * 32


@given(secret=st.text(max_size=100), stamp=st.integers(0, 2**40), body=st.binary(max_size=300))
def test_a_signature_is_the_hmac_of_time_and_body(secret: str, stamp: int, body: bytes) -> None:
    expected = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    assert Signer(secret).sign(str(stamp).encode(), body) == expected.hexdigest()


def test_a_secret_is_derived_from_the_key_and_the_company() -> None:
    secret = signing_secret(KEY, CompanyId("co-1"))
    assert secret == "xs_" + hmac.new(KEY, b"signing|co-1", hashlib.sha256).hexdigest()
    assert secret == signing_secret(KEY, CompanyId("co-1"))
    assert secret != signing_secret(KEY, CompanyId("co-2"))
    assert secret != signing_secret(b"l" * 32, CompanyId("co-1"))
