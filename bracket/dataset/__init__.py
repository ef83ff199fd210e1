"""Pictures and captions: read, checked, split into training and held-out parts, told to each trainer in its words."""

from bracket.dataset.bank import KIND_WORDS
from bracket.dataset.bucketing import bucket_of, bucket_sizes, buckets
from bracket.dataset.checks import check_dataset, check_disk, trigger_problems
from bracket.dataset.fresh import KIND_CHOICES, KindChoice, PromptChoice, Use
from bracket.dataset.reading.description import Description, places, read_description
from bracket.dataset.reading.headers import contents_of
from bracket.dataset.reading.layout import suggested_words
from bracket.dataset.reading.media import SUFFIXES
from bracket.dataset.reading.prompts import PromptLine, parse_prompts, read_prompts
from bracket.dataset.reading.scanning import Scan, scan
from bracket.dataset.splitting import sources_of, split, split_from_json, split_problems, split_to_json
from bracket.dataset.writing.dialects import ai_toolkit_datasets, musubi_toml, sd_scripts_toml, untold, without
from bracket.dataset.writing.links import link_pictures

__all__ = [
    "KIND_CHOICES",
    "KIND_WORDS",
    "SUFFIXES",
    "Description",
    "KindChoice",
    "PromptChoice",
    "PromptLine",
    "Scan",
    "Use",
    "ai_toolkit_datasets",
    "bucket_of",
    "bucket_sizes",
    "buckets",
    "check_dataset",
    "check_disk",
    "contents_of",
    "link_pictures",
    "musubi_toml",
    "parse_prompts",
    "places",
    "read_description",
    "read_prompts",
    "scan",
    "sd_scripts_toml",
    "sources_of",
    "split",
    "split_from_json",
    "split_problems",
    "split_to_json",
    "suggested_words",
    "trigger_problems",
    "untold",
    "without",
]
