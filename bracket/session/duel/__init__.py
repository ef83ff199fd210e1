"""The duel: its plan, how far it is, how its pictures are shown, tries before it and proof added to it."""

__all__ = ["again", "blind", "calibrate", "course", "fight", "more", "plan", "stamp"]
