"""What a session was asked of its pictures and prompts."""

from __future__ import annotations

from typing import Annotated

from pydantic import field_validator

from bracket.dataset import KindChoice, PromptChoice, Use, parse_prompts
from bracket.errors import DatasetError
from bracket.strict import COUNT, Strict, within


class DatasetSettings(Strict):
    """Which pictures, the words that name the concept, and the prompts."""

    folder: str
    """A folder of pictures with captions, or the dataset TOML of sd-scripts or musubi-tuner; several, one a line."""
    trigger_word: str = ""
    class_word: str = ""
    """What a judge that doesn't know the trigger word is told instead."""
    validation: Annotated[int, within(0, COUNT)] = 8
    """Pictures held out for the validation loss at most; fewer than twelve pictures give none."""
    prompts: Annotated[int, within(1, 1_000, "every trial draws each of them")] = 12
    """Prompts every trial draws."""
    verdict_prompts: Annotated[int, within(0, 10_000)] = 20
    """Prompts kept for the verdict alone."""
    plain_prompts: Annotated[int, within(0, 1_000)] = 2
    """Prompts without the trigger word: the most of the bank's, in the search and in the verdict, and search prompts
    that are also drawn without it, where a judge looks at what leaks into those."""
    kind: KindChoice = "auto"
    """For which kind of dataset the bank's prompts are; auto for what it seems to be, none for no such prompts."""
    own_prompts: tuple[str, ...] = ()
    """Prompts beside those of the folder's prompt files, as lines of one."""
    use_for: Use = "both"
    """What `own_prompts` are for: search, verdict, or both: the first half of them chooses, the second half proves."""
    per_folder: Annotated[int, within(0, COUNT)] = 0
    """Pictures of each folder that are trained on, for short trials; 0 for all."""

    @field_validator("own_prompts")
    @classmethod
    def _readable(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parse_prompts("\n".join(lines))
        except DatasetError as error:
            raise ValueError(error.message) from error
        return lines

    @property
    def choice(self) -> PromptChoice:
        return PromptChoice(self.kind, self.own_prompts, self.use_for, self.plain_prompts)
