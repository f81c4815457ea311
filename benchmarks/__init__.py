"""Speed, measured beside floors and peers in the same run."""
