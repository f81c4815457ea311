"""The exchange from outside: real processes, real sockets, real kills."""
