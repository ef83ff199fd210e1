"""Judgements as claims, and the certificate that anybody can compute again."""

__all__ = ["added", "added_check", "again", "certificate", "evidence", "scores"]
