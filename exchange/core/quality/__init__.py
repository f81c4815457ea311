"""The quality of a lead itself: what is looked at, what it takes off the score, who refuses it.

Knows no campaign's price and no store. Source: rules §3.1, §3.2.
"""
