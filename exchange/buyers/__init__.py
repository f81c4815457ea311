"""Talking to companies' systems: what is sent, where it may go, and what the answers mean.

Everything that leaves for a company passes through this room, and nothing a company's system does
is an exception outside it.
"""
