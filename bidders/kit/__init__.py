"""The kit a company writes its bidder with:

from bidders.kit import Bid, Bidder, Ping

bidder = Bidder(secret="xs_…")

@bidder.price
def price(ping: Ping) -> Bid | None:
    return Bid("42.50") if ping.attributes.get("state") == "CA" else None

bidder.run(port=8070)
"""

from bidders.kit.bidder import Bidder, Counts
from bidders.kit.signature import (
    SignatureFault,
    open_frame,
    sign,
    sign_frame,
    sign_headers,
    verify,
)
from bidders.kit.wire import Accepted, Bid, Lead, Ping, Refused

__all__ = [
    "Accepted",
    "Bid",
    "Bidder",
    "Counts",
    "Lead",
    "Ping",
    "Refused",
    "SignatureFault",
    "open_frame",
    "sign",
    "sign_frame",
    "sign_headers",
    "verify",
]
