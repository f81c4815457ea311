"""The exchange's own wire: HTTP in, typed values to the flows, typed answers out.

Decides nothing about the market. Every call, with who may make it and what it takes and gives, is a
row of `routes.ROUTES`; dispatch, authorisation, the OpenAPI document and the tests read that table.
"""

from exchange.web.calls import WebLimits
from exchange.web.metrics import Metrics
from exchange.web.server import WebServer

__all__ = ["Metrics", "WebLimits", "WebServer"]
