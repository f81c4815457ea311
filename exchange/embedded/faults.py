"""What can go wrong with an embedded store, said so that a person knows what to do next."""


class StoreFailed(Exception):
    """An embedded store does not start, does not stay up, or its folder cannot be used."""


class StoreUnavailable(StoreFailed):
    """No program for a store is to be found on this machine; the message names what to install."""
