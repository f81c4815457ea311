"""The exchange under random kills and bad bidders, for as long as it is told: `make soak`.

It lives among the tests, as it starts and kills the exchange with what they have for that, and as
a small form of it is one of them. Benchmarks measure; this only says what was violated.
"""
