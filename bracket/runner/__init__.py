"""Runs trainers as processes that can be watched, stopped, and never outlive bracket."""
