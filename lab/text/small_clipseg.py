"""A small CLIPSeg from nothing, for machines where CLIPSeg's published weights are out of reach.

Random weights, a brief training on photographs with class names, then end to end on polyps. The folder that comes
out has transformers' layout, so ``segue adapt --model OUT/base`` adapts it as it would the published checkpoint.

    python examples/small_clipseg.py --data ../shared/data --out runs/small-clipseg --minutes 12 4

Interrupted, the same line goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPSegForImageSegmentation

from segue.adapters.base import attach
from segue.adapters.baselines import Full, bake
from segue.data.formats.registry import open_data
from segue.data.medical import with_texts
from segue.data.record import AnnotatedImage, Annotation, Sample
from segue.data.text_prompts import texts_for
from segue.evaluation.adapt_texts import score_texts, text_means
from segue.models.clipseg.model import CLIPSeg
from segue.models.clipseg.tokens import byte_tokenizer
from segue.training.augment import jitter_colours
from segue.training.schedules import ScheduleConfig
from segue.training.text_run import TextSettings, text_run
from segue.training.text_task import TextSample, TextTask, text_samples

TOWER = {"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
PHOTOS = ("coco_instances", "wild_animals", "shoes", "tools_rokey", "microcontrollers", "strawberry_plant")


def small_clipseg(words: Path | None, ids: int, side: int) -> CLIPSeg:
    """About a million parameters: both towers four layers of width 96, patches of 8 x 8 pixels."""
    tower = TOWER | {"hidden_act": "quick_gelu"}
    return CLIPSeg(
        tokenizer=words and str(words),
        projection_dim=96,
        extract_layers=[1, 2, 3],
        reduce_dim=64,
        text_config=tower
        | {"vocab_size": ids, "bos_token_id": ids - 2, "eos_token_id": ids - 1, "pad_token_id": ids - 1},
        vision_config=tower | {"image_size": side, "patch_size": 8},
        use_complex_transposed_convolution=False,
        decoder_intermediate_size=128,
    )


@torch.no_grad()
def calm(model: CLIPSeg, side: int) -> None:
    """Scale the last layer so that fresh logits have a spread of one; transformers' start is a hundred times that."""
    taps, grid = model.core.vision(torch.randn(2, 3, side, side)), (side // model.core.patch,) * 2
    logits = model.core.decode(taps, model.core.text(*model.tokens(["polyp", "cup"])), grid)
    last = model.core.decoder.transposed_convolution
    last.weight.div_(logits.std())
    last.bias.fill_(-1.0)


def learn_words(texts: list[str], folder: Path) -> int:
    """Byte pairs merged as the texts suggest; the number of ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    core.train_from_iterator([t.lower() for t in texts], trainer)
    merges = [tuple(m) for m in json.loads(core.to_str())["model"]["merges"]]
    tokenizer = byte_tokenizer(merges, list(dict.fromkeys(a + b for a, b in merges)))
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def named_classes(sample: Sample) -> Sample:
    """Every class of a photo as one object, named, where it covers at least 1 % of it."""

    def load() -> AnnotatedImage:
        image = sample.load()
        merged = {
            n: np.logical_or.reduce([a.mask for a in image.annotations if a.name == n])
            for n in sorted({a.name for a in image.annotations} - {""})
        }
        kept = {n.lower(): m for n, m in merged.items() if m.mean() > 0.01}
        objects = tuple(Annotation.from_mask(m, n, f"{sample.id}/{n}", (n,)) for n, m in kept.items())
        return replace(image, annotations=objects)

    return replace(sample, load=load)


class VariedTask(TextTask):
    """Trains on crops of ``crop`` pixels, mirrored and recoloured; texts are made anew from what a crop shows."""

    crop = 96

    def loss(self, chosen: Sequence[TextSample], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        if torch.is_grad_enabled():
            chosen = vary(chosen, self.crop, generator)
        return super().loss(chosen, generator)


def vary(chosen: Sequence[TextSample], crop: int, generator: torch.Generator) -> list[TextSample]:
    """Each view cropped to between 0.6 and all of its sides, mirrored at random, at ``crop`` x ``crop`` pixels; masks
    of one view alike."""
    views = {id(s.view): s.view for s in chosen}
    rows = [list(views).index(id(s.view)) for s in chosen]
    unit = torch.rand(len(views), 5, generator=generator)
    size = 0.6 + 0.4 * unit[:, 0:1]
    scale = size * (0.9 + 0.1 * unit[:, 1:2]) ** torch.tensor([[1.0, 0.0]])
    shift = (2 * unit[:, 2:4] - 1) * (1 - scale)
    scale = scale * torch.where(unit[:, 4:5] < 0.5, -1.0, 1.0) ** torch.tensor([[1.0, 0.0]])
    theta = torch.stack((torch.diag_embed(scale)[..., 0], torch.diag_embed(scale)[..., 1], shift), -1)
    grid = F.affine_grid(theta, [len(views), 1, crop, crop], align_corners=False)
    pixels = F.grid_sample(torch.stack(list(views.values())).float() / 255, grid, align_corners=False)
    seen = (255 * jitter_colours(pixels, generator)).round().to(torch.uint8)
    targets = torch.stack([s.target for s in chosen])[:, None].float()
    masks = F.grid_sample(targets, grid[rows], mode="nearest", align_corners=False)[:, 0] > 0.5
    each = [seen[i] for i in range(len(seen))]  # one tensor a view, so that the trainer sees it once
    return [
        TextSample(s.id, each[i], m, texts_for(m.numpy(), s.texts[0]))
        for s, i, m in zip(chosen, rows, masks, strict=True)
    ]


def train(
    model: CLIPSeg, samples: Sequence[TextSample], stage: Path, minutes: float, crop: int, lr: float, batch: int
) -> None:
    """End to end for so many processor minutes in all, an eighth, at most 120, held back to choose the best epoch.
    A stage that was interrupted goes on from the file ``stage``; one that is over only gives its weights."""
    adapter = attach(model, Full(model))
    # without the warm-up the towers collapse
    schedule = ScheduleConfig(kind="cosine", unit="minutes", warmup=minutes / 10, floor=0.02)
    settings = TextSettings(lr, batch, schedule=schedule, minutes=minutes, clock="cpu", patience=1000)
    held = min(120, len(samples) // 8)
    run = text_run(model, adapter, samples[held:], samples[:held], settings, stage, task_type=VariedTask)
    assert isinstance(run.task, VariedTask)
    run.task.crop = crop
    if stage.is_file():
        run.resume()
    run.run(lambda row: print(row, flush=True))
    run.load_best()
    epoch, cost = run.best_validation
    print(f"best validation Dice {-cost:.3f} in epoch {epoch}, {run.clock.minutes:.1f} minutes")
    bake(model, adapter)


def save(model: CLIPSeg, words: Path, folder: Path) -> None:
    """The model as transformers stores a CLIPSeg, tokenizer included."""
    from transformers import PreTrainedTokenizerFast

    net = CLIPSegForImageSegmentation(model.core.config)
    net.load_state_dict(model.core.state_dict())
    net.save_pretrained(folder)
    PreTrainedTokenizerFast.from_pretrained(words).save_pretrained(folder)


def shuffled(samples: Sequence[Sample]) -> list[Sample]:
    """The samples in a fixed random order."""
    return [samples[i] for i in np.random.default_rng(0).permutation(len(samples))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs=2, default=(12, 4), help="of processor time: photos, polyps")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--images", type=int, default=100, help="polyps to train on, and as many to measure on")
    args = parser.parse_args()
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    photos = [
        replace(named_classes(s), id=f"{name}/{s.id}")
        for name in PHOTOS
        for s in open_data(args.data / "train" / name).samples
    ]
    polyps = [with_texts(s, "polyp") for s in shuffled(open_data(args.data / "medical" / "kvasir_seg").samples)]
    learn, test = polyps[: args.images], polyps[args.images : 2 * args.images]
    blank = small_clipseg(None, 514, args.side)
    shown, learned = text_samples(blank, shuffled(photos)), text_samples(blank, learn)
    corner = np.eye(100, 100, 90, dtype=bool)
    names = [s.texts[0] for s in shown] + ["polyp", "foot ulcer"] * 50
    words = args.out / "words"
    model = small_clipseg(words, learn_words([t for n in names for t in texts_for(corner, n)], words), args.side)
    calm(model, args.side)
    report = {"parameters": sum(p.numel() for p in model.parameters()), "photos": len(photos), "masks": len(shown)}

    photos_minutes, polyps_minutes = args.minutes
    train(model, shown, args.out / "photos.pt", photos_minutes, 3 * args.side // 4, lr=7e-4, batch=32)
    report["polyps_before"] = text_means(score_texts(model, test))
    print(report, flush=True)
    train(model, learned, args.out / "polyps.pt", polyps_minutes, args.side, lr=5e-4, batch=8)
    report["polyps_after"] = text_means(score_texts(model, test))
    print(report, flush=True)
    save(model, words, args.out / "base")
    (args.out / "report.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
