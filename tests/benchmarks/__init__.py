"""The bench itself: what it counts, what it refuses, what it writes."""
