"""kohya's sd-scripts and musubi-tuner, and what both share."""

__all__ = ["common", "musubi", "sd_scripts"]
