"""Running the exchange: a parent that keeps stores and workers alive, and the workers.

The parent takes no part in the market. A worker that dies is replaced; its leads are taken over.
"""
