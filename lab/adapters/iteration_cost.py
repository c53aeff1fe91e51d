"""What one training step of SimpleClick costs, fine-tuned whole or through an adapter (ClickAdapter's table IV).

    python examples/iteration_cost.py detail --model simpleclick-base --steps 3

Times are processor seconds of one thread, memory is the peak of the process; weights are random, which changes
neither. Run it once per kind: a process's peak memory cannot be taken back.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from segue.adapters.base import attach, training
from segue.adapters.registry import ADAPTERS
from segue.models.wrappers import unwrapped
from segue.nn.losses import normalized_focal
from segue.session.load import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", help="full (every weight), or an adapter: detail, lora, head")
    parser.add_argument("--model", default="simpleclick-base")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = unwrapped(build(args.model))
    learned = list(model.parameters())
    adapter = None
    if args.kind != "full":
        adapter = attach(model, ADAPTERS.load(args.kind)(model))
        learned = list(adapter.parameters())
    optimiser = torch.optim.AdamW(learned, lr=5e-6)
    side = model.input_size[0]
    image, previous = torch.rand(args.batch, 3, side, side), torch.rand(args.batch, 1, side, side)
    points = torch.tensor([[[side / 2, side / 2, 0.0], [-1.0, -1.0, -1.0]]]).expand(args.batch, -1, -1)
    target = (torch.rand(args.batch, 1, side // 4, side // 4) > 0.5).float()
    seconds = []
    for _ in range(args.steps):
        began = time.process_time()
        if adapter is None:
            logits = model.train().net(image, previous, points)
        else:
            with training(model, adapter):
                logits = model.net(image, previous, points)
        normalized_focal(logits, target).mean().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        seconds.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    trained = sum(p.numel() for p in learned)
    print(f"{args.kind}: {trained / 1e6:.2f} M learned, {min(seconds):.2f} s a step, {peak:.0f} MB at most")


if __name__ == "__main__":
    main()
