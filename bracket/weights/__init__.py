"""What a weight file is, and whether it is the one that is needed."""

from bracket.weights.check import check_weight
from bracket.weights.download import remains
from bracket.weights.header import Header, read_header
from bracket.weights.identify import Identity, identify, identify_parts
from bracket.weights.kinds import KINDS, title_of

__all__ = [
    "KINDS",
    "Header",
    "Identity",
    "check_weight",
    "identify",
    "identify_parts",
    "read_header",
    "remains",
    "title_of",
]
