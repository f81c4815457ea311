"""Load for an exchange: requests made beforehand, sent in step with answers or in step with time.

Decides when a request goes out and what its answer counts for; must not know what the exchange is
but for its wire. Imports nothing of it, so that it can be pointed at anything that speaks HTTP.
Raw protocols and bytes: the generator must never be what limits a measurement.
"""
