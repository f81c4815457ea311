"""The verbs of the exchange: what happens, in which order, when somebody pings, posts or rejects.

Decisions are the core's; remembering, asking and telling happen through the protocols in `ports`.
"""
