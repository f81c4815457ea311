"""The embedded servers, started and killed for real."""
