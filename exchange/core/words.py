"""Small words of sentences."""

from __future__ import annotations


def counted(count: int, one: str, many: str) -> str:
    """A count with the word for what is counted: ``1 lead``, ``1,200 leads``."""
    return f"{count:,} {one if count == 1 else many}"


def with_article(noun: str) -> str:
    """A noun with its article: ``a seller``, ``an operator``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
