"""Views that several tabs show: the tournament, the duel, the booth for blind votes."""

__all__ = ["booth", "bracket", "duel_panel"]
