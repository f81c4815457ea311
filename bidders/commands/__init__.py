"""The commands of `python -m bidders`, a file each: its options, and what it does with them."""
