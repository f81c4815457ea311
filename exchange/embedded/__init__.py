"""PostgreSQL and Valkey started by the exchange itself, for a machine that has neither.

Decides where the two servers come from, where they live and when they run; must not know what is
kept in them. Only the command line, the demo and the tests look in here: a market that matters
names its own stores in the settings. Plain blocking calls and the standard library only, so that
the servers can be up before any event loop is.
"""

from exchange.embedded.faults import StoreFailed, StoreUnavailable
from exchange.embedded.home import default_home
from exchange.embedded.supervisor import EmbeddedStores, StoreUrls

__all__ = ["EmbeddedStores", "StoreFailed", "StoreUnavailable", "StoreUrls", "default_home"]
