"""The market's decisions, as pure functions.

Nothing in this room reads a clock, draws at random, waits, logs or touches a socket, file or store.
Time, seeds and settings come in as arguments; the same arguments always give the same answer.
"""
