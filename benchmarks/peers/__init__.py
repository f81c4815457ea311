"""The same auction beside others: written plainly in what teams commonly use, and the exchange."""
