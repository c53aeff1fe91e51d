"""A small CLIPSeg from nothing, and what the dense adapter then does for another field.

Published CLIPSeg weights are 600 MB; this script shows the whole way without them, on a CPU: train a small
model on named COCO objects, then end to end on polyps, freeze it, and adapt it to foot ulcers.

    python examples/small_clipseg.py --data ../shared/data --out runs/small-clipseg --minutes 20 5 5
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from segue.adapters.base import attach, detach, save_adapter
from segue.adapters.baselines import Full, bake
from segue.adapters.rows import ADAPTERS
from segue.core.segmenter import weights_digest
from segue.data.medical import with_texts
from segue.data.prompts import texts_for
from segue.data.rows import open_data
from segue.data.sample import Instance, Sample, Truth
from segue.jobs.adapt_text import TextSettings, TextTrainer, before_and_after, prepare, score, summary
from segue.models.clipseg import CLIPSeg
from segue.models.tokens import byte_tokenizer

TOWER = {"num_attention_heads": 4, "hidden_act": "quick_gelu"}


def small_clipseg(words: Path, ids: int, side: int) -> CLIPSeg:
    """About 5 million parameters: 8 vision layers of width 192, 4 text layers of width 128."""
    text = TOWER | {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "vocab_size": ids}
    vision = TOWER | {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 8, "image_size": side}
    return CLIPSeg(
        tokenizer=str(words), projection_dim=128, extract_layers=[1, 3, 5], reduce_dim=64,
        text_config=text | {"bos_token_id": ids - 2, "eos_token_id": ids - 1, "pad_token_id": ids - 1},
        vision_config=vision | {"patch_size": 16}, use_complex_transposed_convolution=True,
        decoder_intermediate_size=256,
    )  # fmt: skip


@torch.no_grad()
def calm(model: CLIPSeg, side: int) -> None:
    """Scale the last layer so that fresh logits have a spread of one; transformers' start is a hundred times that."""
    taps = model.core.vision(torch.randn(2, 3, side, side))
    logits = model.core.decode(taps, model.core.text(*model.tokens(["polyp", "cup"])), (side // 16, side // 16))
    last = model.core.decoder.transposed_convolution[-1]
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
    """Every class of a photo as one object, where it covers at least 1 % of it."""

    def load() -> Truth:
        truth = sample.load_truth()
        merged = {
            n: np.logical_or.reduce([i.mask for i in truth.instances if i.name == n])
            for n in sorted({i.name for i in truth.instances})
        }
        kept = {n: m for n, m in merged.items() if n and m.mean() > 0.01}
        return Truth(
            tuple(Instance(f"{sample.id}/{n}", m, n, (n, f"a {n}", f"a photo of a {n}")) for n, m in kept.items())
        )

    return replace(sample, load_truth=load)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--minutes",
        type=float,
        nargs=3,
        default=(20, 5, 5),
        help="processor minutes: COCO (0: start at random), polyps, each adapter",
    )
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--adapters", nargs="+", default=["dense", "shallow", "lora", "side", "full"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--start", type=Path, help="model.pth of an earlier run: only adapt")
    args = parser.parse_args()
    torch.manual_seed(0)
    n = args.images
    photos = open_data(args.data / "train" / "coco_instances").samples if args.minutes[0] else []
    coco = [named_classes(s) for s in photos]
    sets = {
        name: [with_texts(s, noun) for s in shuffled(open_data(args.data / "medical" / name).samples)]
        for name, noun in (("kvasir_seg", "polyp"), ("foot_ulcer_fuseg", "foot ulcer"))
    }
    nouns = [w for w in ("polyp", "foot ulcer") for _ in range(50)]
    blob = np.zeros((100, 100), bool)
    blob[5:9, 5:9] = True
    corpus = [t for w in nouns for t in texts_for(blob, w)] + [i.name for s in coco for i in s.load_truth().instances]
    args.out.mkdir(parents=True, exist_ok=True)
    model = small_clipseg(args.out / "words", learn_words(corpus, args.out / "words"), args.side)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    calm(model, side=args.side)

    polyps = sets["kvasir_seg"]
    report: dict = {"kvasir_before_polyps": summary(score(model, polyps[n : 2 * n]))}
    if args.start:
        model.load_state_dict(torch.load(args.start, weights_only=True))
    else:
        pairs = [s for s in prepare(model, coco) if s.target.any()]
        if pairs:
            train_copy(model, pairs, args.minutes[0], 5e-4)
        train_copy(model, prepare(model, polyps[:n]), args.minutes[1], 5e-4)
        torch.save(model.state_dict(), args.out / "model.pth")
    report["kvasir_after_polyps"] = summary(score(model, polyps[n : 2 * n]))
    print(json.dumps(report), flush=True)

    ulcers = sets["foot_ulcer_fuseg"]
    said, test = prepare(model, ulcers[:n]), ulcers[n : 2 * n]
    frozen = weights_digest(model)
    for kind in args.adapters:
        for seed in range(args.seeds):
            torch.manual_seed(seed)
            adapter = attach(model, ADAPTERS.load(kind)(model))
            settings = TextSettings(minutes=args.minutes[2], clock="cpu", batch=args.batch)
            began = time.process_time()
            course = TextTrainer(model, adapter, settings, seed).run(said[n // 5 :], said[: n // 5])
            before, after = before_and_after(model, test, seed)
            row = {
                "seed": seed, "parameters": adapter.trainable, "before": summary(before), "after": summary(after),
                "epochs": len(course.rows), "best_epoch": course.best_epoch,
                "minutes": (time.process_time() - began) / 60,
            }  # fmt: skip
            report.setdefault(kind, []).append(row)
            print(kind, json.dumps(row), flush=True)
            save_adapter(model, adapter, args.out / f"{kind}-{seed}")
            detach(model, adapter)
            assert weights_digest(model) == frozen, "the base changed"
            (args.out / "report.json").write_text(json.dumps(report, indent=1))


def shuffled(samples: list[Sample]) -> list[Sample]:
    """The samples in a fixed random order."""
    return [samples[i] for i in np.random.default_rng(0).permutation(len(samples))]


def train_copy(model: CLIPSeg, said: list, minutes: float, rate: float) -> None:
    """End to end for so many minutes, on four fifths of ``said``; the best epoch stays."""
    adapter = attach(model, Full(model))
    settings = TextSettings(rate=rate, minutes=minutes, clock="cpu", batch=16)
    fifth = len(said) // 8
    course = TextTrainer(model, adapter, settings).run(said[fifth:], said[:fifth], lambda row: print(row, flush=True))
    print(f"best validation Dice {course.best:.3f} in epoch {course.best_epoch}")
    bake(model, adapter)


if __name__ == "__main__":
    main()
