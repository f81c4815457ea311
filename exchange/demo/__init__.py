"""The demo market: served by `exchange serve --demo-market`, lived through in `exchange demo`.

Plays the market's people, and decides nothing the exchange decides. Companies' systems are those of
the bidders' room, run as a process of its own and spoken to over its wire.
"""
