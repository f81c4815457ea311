"""An open lead exchange: sellers ping and post, companies bid and are held to what they return."""

__version__ = "0.1.0"
