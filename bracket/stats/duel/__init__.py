"""Statistics of the duel: the tests, the claims they carry, and the words for them."""

__all__ = [
    "claims",
    "flips",
    "keep",
    "power",
    "rates",
    "record",
    "sequential",
    "signflip",
    "tries",
    "verdict",
    "wording",
]
