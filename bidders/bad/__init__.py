"""Bidders that hang, lie and break, to try against what an exchange must survive.

async with bad_bidders() as bad:
    ...  # ask at bad.ping_url("hanging")
    assert bad.seen("hanging").pings == 1
"""

from bidders.bad.delays import Delay
from bidders.bad.manners import MANNERS, Manner
from bidders.bad.server import BadBidders, Seen, bad_bidders

__all__ = ["MANNERS", "BadBidders", "Delay", "Manner", "Seen", "bad_bidders"]
