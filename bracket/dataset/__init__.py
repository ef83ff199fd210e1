"""A folder of pictures and captions: read, checked, split into training and held-out parts, sorted into buckets."""

from bracket.dataset.bucketing import bucket_of, bucket_sizes, buckets
from bracket.dataset.checks import check_dataset, check_disk, trigger_problems
from bracket.dataset.prompts import PromptLine, parse_prompts, read_prompts
from bracket.dataset.scanning import SUFFIXES, Scan, scan
from bracket.dataset.splitting import split, split_from_json, split_problems, split_to_json

__all__ = [
    "SUFFIXES",
    "PromptLine",
    "Scan",
    "bucket_of",
    "bucket_sizes",
    "buckets",
    "check_dataset",
    "check_disk",
    "parse_prompts",
    "read_prompts",
    "scan",
    "split",
    "split_from_json",
    "split_problems",
    "split_to_json",
    "trigger_problems",
]
