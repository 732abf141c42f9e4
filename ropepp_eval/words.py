"""Numbers of things, as sentences hold them."""

from __future__ import annotations


def counted(number: int, noun: str, nouns: str = "") -> str:
    """`1 row`, `2 rows`, `1,024 tokens`; `nouns` where the plural is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"
