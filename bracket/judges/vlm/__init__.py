"""Judging by questions to any vision-language model: rubric, questions, answers, and the scores made of them."""

__all__ = ["drafting", "judge", "pairs", "rubric"]
