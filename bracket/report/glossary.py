"""What bracket's words mean, a sentence each: for the app's labels, its help (`?`) and docs/glossary.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word, what it means, and what it is called elsewhere.

    Attributes:
        forms: how it stands in a label, "" for the word and its plural.
    """

    word: str
    sentence: str
    elsewhere: str = ""
    forms: str = ""

    @property
    def said(self) -> str:
        """The sentence, and the field's own word where it has another."""
        return f"{self.sentence} Elsewhere: {self.elsewhere}." if self.elsewhere else self.sentence

    @property
    def pattern(self) -> str:
        """The forms as a regular expression's alternatives; no word of ours needs escaping."""
        return self.forms or f"{self.word}s?"


COINED = (
    Term("adherence", "How well a picture shows what its prompt says.", "prompt alignment, CLIP-T", "adherence"),
    Term("axis", "One thing that a judge looks at, such as prompt adherence or likeness.", "metric", "axis|axes"),
    Term("base", "The model before training.", "pretrained model", "base"),
    Term(
        "baseline",
        "The settings that people usually copy for this model: the ones to beat.",
        "reference, control",
    ),
    Term(
        "certificate", "The file that holds every seed, prompt and judgement, so that anybody can compute the verdict."
    ),
    Term(
        "claim",
        "What the duel's numbers carry at the promised error rate: that one LoRA file is better, or that settings are.",
        "significant result",
    ),
    Term("config", "One value for every knob: what a trial trains with.", "hyperparameter configuration"),
    Term(
        "containment",
        "How far pictures without the trigger word stay what the base draws.",
        "concept bleed",
        "containment",
    ),
    Term("diversity", "How far the pictures of one prompt lie apart.", "variety", "diversity"),
    Term(
        "duel",
        "The proof: winner against baseline on fresh prompts and fresh seeds, which took no part in choosing.",
        "confirmatory test on held-out data",
    ),
    Term(
        "finalist",
        "One of the best few configs of the search; they train longer, beside the baseline.",
        forms="finalists?|finals",
    ),
    Term("fresh", "Not seen by anything that chose the winner.", "held out, out of sample"),
    Term(
        "held out",
        "Not trained on: the loss that counts is measured on these pictures.",
        "validation set",
        "held.out|by loss",
    ),
    Term(
        "judge",
        "Whoever looks at the pictures and scores them: a model here, a model on a server, or you.",
        "evaluator, reward model",
    ),
    Term(
        "judged",
        "What the judge alone says of a trial's pictures, of 100; higher is better.",
        "quality score",
        "judged",
    ),
    Term(
        "keep",
        "How much of what the base could draw without the trigger word the trained file still draws, in percent.",
        "prior preservation, forgetting",
        "keeps?",
    ),
    Term("knob", "A setting that the search may vary.", "hyperparameter"),
    Term(
        "likeness", "How much a picture looks like the training pictures.", "subject fidelity, CLIP-I, DINO", "likeness"
    ),
    Term(
        "melted",
        "Drowned its model: the loss is no number, or loss, pictures and weights say so, held against the base's own.",
        "diverged, overcooked",
        "melted",
    ),
    Term("originality", "Falls as a picture turns into a copy of a training picture.", "memorisation", "originality"),
    Term(
        "pair",
        "Winner and baseline trained anew with the same fresh seed, and compared; claims about settings count these.",
        "paired runs",
        "pairs?|paired",
    ),
    Term("plan", "What will be trained, how long that takes and what it can show, before anything is."),
    Term(
        "preset",
        "A file that says what is trained by which trainer: weights, fixed settings, and knobs with their ranges.",
        "recipe, template",
    ),
    Term(
        "proof",
        "Evidence from what took no part in choosing; more pairs can be added to a finished session.",
        "confirmation",
        "proof",
    ),
    Term("round", "Trials of equal length, which alone are compared with each other."),
    Term(
        "rubric", "The questions that a vision-language judge is asked about a picture, one an axis.", "grading prompt"
    ),
    Term(
        "rung",
        "One length of training in the search: the best of a rung train on to the next, longer one.",
        "budget, rung of successive halving",
    ),
    Term(
        "score",
        "What configs are ranked by, of 100, higher is better: partly the held-out loss, partly what the judge says.",
        "objective",
    ),
    Term(
        "session", "One question with all that is done to answer it, in one folder.", "experiment, study", "sessions?"
    ),
    Term("steadiness", "How little a clip flickers.", "temporal consistency", "steadiness"),
    Term("strategy", "How the search spends its trials.", "search algorithm, scheduler", "strategy|strategies"),
    Term(
        "tournament",
        "The usual search: everybody trains a little, one in so many trains on at twice the length, up to the finals.",
        "successive halving",
    ),
    Term("trial", "One training: one config, one seed, one length.", "run"),
    Term(
        "try",
        "A session, or pairs added to one, that asks a question again; all its tries share the 5 % for false claims.",
        "repeated test",
        "try|tries",
    ),
    Term("verdict", "What may be said in the end, about what, and how surely.", "conclusion"),
    Term(
        "vote",
        "Your choice between two pictures whose settings are hidden.",
        "blind preference",
        "votes?|your own eyes",
    ),
    Term(
        "winner", "The config that did best in search and finals; whether it is better, the duel says.", forms="winner"
    ),
)
"""Words that bracket coined, or gives a meaning of its own."""

FIELD = (
    Term("alpha", "A factor on what the LoRA adds: it acts as alpha ÷ rank.", "network alpha", "alpha"),
    Term("batch", "How many pictures one step learns from.", "batch size", "batch"),
    Term("learning rate", "How far one step moves the weights; in short lr.", "lr", "lr|learning rate"),
    Term("rank", "The size of a LoRA: in how many directions it can change a layer.", "network dim", "rank"),
    Term("seed", "The number that all chance in a training, or in a picture, follows from."),
    Term("step", "One update of the weights.", "iteration"),
    Term(
        "trigger word",
        "The word in captions and prompts that calls what was learnt.",
        "instance token",
        "trigger words?",
    ),
)
"""The field's own words, which the app's labels use as everybody does."""
