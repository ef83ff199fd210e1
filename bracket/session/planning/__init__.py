"""Before a session runs: what it will cost, what it can show, which commands it will run."""

__all__ = ["budget", "memory", "next_space", "outlook", "plan", "promise", "spread"]
