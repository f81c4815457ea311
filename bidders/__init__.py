"""A kit for companies' bidders, and companies' systems to try against; all speak only the wire."""
