"""A session under way: the rounds, their trainings and judgements, and what is gathered of them in the end."""

__all__ = ["confirm", "judging", "launch", "run", "stages", "summarise"]
