"""Train the demo's image-text scorer: a real, very small `CLIPModel` that has seen every shape and many spoilt ones.

Two losses. InfoNCE over a batch (Radford et al. 2021, arXiv 2103.00020) whose targets are spread over every caption
that is true of a picture, since a short caption is true of several. And a ladder: of two pictures made for one caption,
the one with more damage must be less similar to it, by a margin that grows with the difference in damage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from tqdm import trange
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from bracket.demo.checker import check
from bracket.demo.shapes import COLOURS, RESOLUTION, SHAPES, SIZES, Picture, all_specs, caption, picture_of
from bracket.files import write_json
from bracket.training.embedded.graded import KINDS, Damage, Painter

CONTEXT = 48
"""Tokens a caption may have, start and end included."""
PATCH = 16
"""Larger than it looks: a shape of any colour is a relation between pixels, which one big linear patch sees at once.
With patches of 8 a model of this size still guessed the shape after 350 steps; with 16 it knew it after 150."""
CLEAN_PART = 0.06
"""Share of the training in which every picture is clean and black and white, so that shapes are learned first."""
COLOUR_PART = 0.3
"""Share of the training after which all colours take part; they join one by one."""
MARGIN = 0.9
"""Cosine that a picture loses, at least, from no damage to full damage."""
RNG = np.random.Generator
Spec = tuple[str, str, str, str]


@dataclass(frozen=True)
class Scene:
    """A picture to paint with a caption that is true of it; attributes the caption leaves out are ""."""

    picture: Picture
    damage: Damage | None
    says: tuple[str, ...]
    """Size, colour, shape, background and quality word, as far as the caption says them."""
    caption: str = ""

    @property
    def shows(self) -> tuple[str, ...]:
        p = self.picture
        return p.size, p.colour, p.shape, p.background, KINDS[self.damage.kind] if self.damage else ""


def make_tokenizer(vocabulary: int = 384) -> PreTrainedTokenizerFast:
    """Byte-level BPE with CLIP's start and end tokens, the highest ids: `CLIPModel` pools at the end token."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    words = (f"a {word} picture" for word in KINDS.values())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator([*(caption(*s) for s in all_specs(SHAPES)), *words], trainer)
    start, end = "<|startoftext|>", "<|endoftext|>"
    bpe.add_special_tokens([start, end])
    ids = [(t, bpe.token_to_id(t)) for t in (start, end)]
    bpe.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=start, eos_token=end, pad_token=end, model_max_length=CONTEXT
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    """4 layers of 128 look at 16x16 patches, 2 layers of 64 read: 1 M parameters."""
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "projection_dim": 64,
    }
    vision = {
        "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4,
        "image_size": RESOLUTION, "patch_size": PATCH, "projection_dim": 64,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


class Scenes:
    """Draws training scenes: groups of hard negatives, each with a clean picture and two rungs of its ladder.

    `progress` (0..1) is how far the training is: it begins with clean black and white, and colours join.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.colours = list(COLOURS)

    def batch(self, groups: int, progress: float = 1.0) -> list[Scene]:
        """3 scenes a spec (clean, damaged, more damaged) for `groups` specs, every second a near miss of the last."""
        known = 2 + int((len(COLOURS) - 2) * max(0.0, progress - CLEAN_PART) / (COLOUR_PART - CLEAN_PART))
        # The last two of the palette are white and black.
        self.colours = list(COLOURS)[::-1][:known]
        scenes: list[Scene] = []
        spec = self._spec()
        for i in range(groups):
            spec = self._near(spec) if i % 2 else self._spec()
            scenes += self._ladder(spec) if progress > CLEAN_PART else self._clean(spec)
        return [replace(s, caption=self.words(s.says)) for s in scenes]

    def _pick(self, options: Sequence[str], but: Sequence[str] = ()) -> str:
        left = [o for o in options if o not in but]
        return left[int(self.rng.integers(len(left)))]

    def _spec(self) -> Spec:
        colour = self._pick(self.colours)
        return self._pick(list(SIZES)), colour, self._pick(SHAPES), self._pick(self.colours, [colour])

    def _near(self, spec: Spec) -> Spec:
        """The same but for one thing; the shape is what it mostly is."""
        size, colour, shape, background = spec
        what = self._pick(("shape", "shape", "size", "colour", "background")[: 5 if len(self.colours) > 2 else 3])
        if what == "shape":
            return size, colour, self._pick(SHAPES, [shape]), background
        if what == "colour":
            return size, self._pick(self.colours, [colour, background]), shape, background
        if what == "background":
            return size, colour, shape, self._pick(self.colours, [colour, background])
        return self._pick(list(SIZES), [size]), colour, shape, background

    def damage(self, spec: Spec, kind: str, severity: float) -> Damage:
        """Damage whose other picture differs from `spec` in shape and in both colours."""
        size, colour, shape, background = spec
        front = self._pick(list(COLOURS), [colour, background])
        other = size, front, self._pick(SHAPES, [shape]), self._pick(list(COLOURS), [colour, background, front])
        return Damage(kind, severity, picture_of(other, self.rng))

    def _clean(self, spec: Spec) -> list[Scene]:
        return [Scene(picture_of(spec, self.rng), None, (*self._said(spec), "")) for _ in range(3)]

    def _ladder(self, spec: Spec) -> list[Scene]:
        kind = self._pick(list(KINDS))
        low, high = sorted(self.rng.uniform(0.0, 1.0, 2))
        damage = self.damage(spec, kind, float(low))
        says = (*self._said(spec), "")
        clean = Scene(picture_of(spec, self.rng), None, says)
        spoilt = [Scene(picture_of(spec, self.rng), replace(damage, severity=float(t)), says) for t in (low, high)]
        return [clean, *(self._captioned(s) for s in spoilt)]

    def _captioned(self, scene: Scene) -> Scene:
        assert scene.damage is not None
        word = KINDS[scene.damage.kind]
        return replace(scene, says=(*scene.says[:4], word)) if word and scene.damage.severity > 0.5 else scene

    def _said(self, spec: Spec) -> tuple[str, ...]:
        """Which attributes the caption says: mostly all of them."""
        if self.rng.random() < 0.6:
            return spec
        keep = self.rng.random(4) < (0.5, 0.7, 0.85, 0.5)
        said = tuple(s if k else "" for s, k in zip(spec, keep, strict=True))
        return said if any(said) else ("", "", spec[2], "")

    def words(self, says: Sequence[str]) -> str:
        """A caption that says just these attributes, in one of a few manners."""
        size, colour, shape, background, quality = says
        bare = not shape and self.rng.random() < 0.5
        thing = " ".join(w for w in (quality, size, colour, "" if bare else shape or "shape") if w)
        place = f" on a {background} background" if background else ""
        opening = self._pick(("", "", "", "", "", "a picture of ", "a drawing of ", "a photo of "))
        return f"{opening}a {thing}{place}"


def truths(scenes: Sequence[Scene]) -> Tensor:
    """Bool (N, N): whether caption j is true of picture i. Slightly damaged pictures are true to no caption here."""
    true = np.zeros((len(scenes), len(scenes)), bool)
    for i, scene in enumerate(scenes):
        shown = scene.shows
        if scene.damage and (scene.damage.severity < 0.5 or not shown[4]):
            continue
        for j, other in enumerate(scenes):
            said = other.says
            true[i, j] = said[4] == shown[4] and all(s in ("", w) for s, w in zip(said[:4], shown[:4], strict=True))
    return torch.from_numpy(true)


def contrast(logits: Tensor, true: Tensor, unsure: Tensor) -> Tensor:
    """InfoNCE both ways with targets spread over all true pairs; `unsure` (N,) pictures are left out."""
    rows = true.any(1)
    spread = true[rows].float() / true[rows].sum(1, keepdim=True)
    to_text = -(spread * logits[rows].log_softmax(1)).sum(1).mean()
    columns = true.any(0)
    column_logits = logits.masked_fill(unsure[:, None], -torch.inf)[:, columns].log_softmax(0)
    share = true[:, columns].float() / true[:, columns].sum(0, keepdim=True)
    to_image = -(share * column_logits.masked_fill(unsure[:, None], 0)).sum(0).mean()
    return (to_text + to_image) / 2


def ladder(similarity: Tensor, severity: Tensor) -> Tensor:
    """Hinge on the rungs of one caption: (G, 3) cosines and severities, worse ones less similar by the margin."""
    loss = similarity.new_zeros(())
    for better, worse in ((0, 1), (1, 2), (0, 2)):
        gap = MARGIN * (severity[:, worse] - severity[:, better])
        short = F.relu(gap - (similarity[:, better] - similarity[:, worse]))
        loss = loss + (short * (gap > 0)).mean()
    return loss


def embed(
    model: CLIPModel, tokenizer: PreTrainedTokenizerFast, images: Tensor, texts: list[str]
) -> tuple[Tensor, Tensor]:
    """Unit embeddings of images (N, 3, 64, 64) in 0..1 and of texts."""
    pixels = (images - 0.5) / 0.5
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    out = model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, pixel_values=pixels)
    return out.image_embeds, out.text_embeds


def train_scorer(out: Path, steps: int = 4500, groups: int = 24, peak: float = 1e-3, seed: int = 0) -> float:
    """Train on one thread, save an average of the weights in half precision; returns `pair_order` of what was saved."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer).train()
    weights = list(model.parameters())
    average = [w.detach().clone() for w in weights]
    scenes, painter = Scenes(seed), Painter(torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(weights, lr=peak, betas=(0.9, 0.98), weight_decay=0.05)
    bar = trange(steps, desc="scorer", mininterval=10)
    for step in bar:
        for group in optimizer.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = peak * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * cosine)
        contrastive, graded = losses(model, tokenizer, scenes.batch(groups, step / steps), painter)
        optimizer.zero_grad()
        (contrastive + 2 * graded).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        decay = min(0.998, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [w.detach() for w in weights], 1 - decay)
        if (step + 1) % 50 == 0:
            bar.set_postfix(contrast=f"{contrastive.item():.3f}", ladder=f"{graded.item():.3f}", refresh=False)
    with torch.no_grad():
        torch._foreach_copy_(weights, average)
    save(model, tokenizer, out)
    return pair_order(out)


def losses(
    model: CLIPModel, tokenizer: PreTrainedTokenizerFast, batch: Sequence[Scene], painter: Painter
) -> tuple[Tensor, Tensor]:
    """The two losses, contrast and ladder, on a batch of three scenes a caption."""
    severity = torch.tensor([s.damage.severity if s.damage else 0.0 for s in batch])
    images = painter.paint([s.picture for s in batch], [s.damage for s in batch])
    image, text = embed(model, tokenizer, images, [s.caption for s in batch])
    cosines = image @ text.T
    unsure = (severity > 0) & (severity < 0.5)
    contrastive = contrast(cosines * model.logit_scale.exp().clamp(max=50), truths(batch), unsure)
    firsts = range(0, len(batch), 3)
    own = torch.stack([cosines[i : i + 3, i] for i in firsts])
    return contrastive, ladder(own, severity.view(-1, 3))


def save(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """The folder of a CLIP: config, weights in half precision, tokenizer, and how pictures are prepared."""
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_json(out / "preprocessor_config.json", {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": RESOLUTION},
        "resample": 3, "do_center_crop": True, "crop_size": {"height": RESOLUTION, "width": RESOLUTION},
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    })


@torch.no_grad()
def pair_order(folder: Path, pairs: int = 450, seed: int = 77, apart: float = 0.1) -> float:
    """Share of (better, worse) pictures of one caption whose similarities are in the order of the checker's truth.

    Every kind of damage and whole wrong shapes and colours take part; the truths of a pair are `apart` or more.
    """
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    scenes, painter = Scenes(seed), Painter(torch.Generator().manual_seed(seed))
    kinds, right, seen = list(KINDS), 0, 0
    while seen < pairs:
        spec, kind = scenes._spec(), kinds[seen % len(kinds)]
        severities = np.sort(scenes.rng.uniform(0, 1, 2)) * (scenes.rng.random() < 0.7, 1.0)
        damage = scenes.damage(spec, kind, 0.0)
        damages = [replace(damage, severity=float(t)) for t in severities]
        images = painter.paint([picture_of(spec, scenes.rng)] * 2, damages)
        truth = [check((i * 255).byte().permute(1, 2, 0).numpy(), spec[2], spec[1], spec[3]).truth for i in images]
        if abs(truth[0] - truth[1]) < apart:
            continue
        image, text = embed(model, tokenizer, images, [caption(*spec)])
        seen += 1
        right += int(((image @ text.T)[:, 0].diff().item() < 0) == (truth[1] < truth[0]))
    return right / seen
