"""Average weights of one model, each with its share.

    python examples/average_weights.py -o new.safetensors 2 old.safetensors 1 runs/nano-5/model 1 runs/nano-6/model

Folders are those of `segue train`. Trainings that began with the same weights lie close enough for it: what ships
was made so (Wortsman et al., "Model soups", 2022).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from segue.models.checkpoints import read_state
from segue.models.pretrained import WEIGHTS


def average(shares: Sequence[tuple[float, Path]]) -> dict[str, torch.Tensor]:
    """The state of ``shares``, averaged in single and kept in half precision."""
    states = [read_state(path / WEIGHTS if path.is_dir() else path) for _, path in shares]
    if any(state.keys() != states[0].keys() for state in states):
        raise ValueError("weights of different models cannot be averaged")
    total = sum(share for share, _ in shares)
    mixed = {
        key: sum(state[key].float() * (share / total) for state, (share, _) in zip(states, shares, strict=True))
        for key in states[0]
    }
    return {key: torch.as_tensor(value).half().contiguous() for key, value in mixed.items()}


def main(arguments: Sequence[str] | None = None) -> Path:
    """Write what the command line asks for; where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shares", nargs="+", help="share, weights, share, weights, ...")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    pairs = zip(options.shares[::2], options.shares[1::2], strict=True)
    save_file(average([(float(share), Path(path)) for share, path in pairs]), options.output)
    output: Path = options.output
    return output


if __name__ == "__main__":
    print(main())
