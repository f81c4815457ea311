"""Deliveries to companies' systems, over real sockets."""
