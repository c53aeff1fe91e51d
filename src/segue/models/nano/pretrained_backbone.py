"""Where nano's encoder starts from: published arrays, or a backbone that was pretrained here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segue.core.errors import CheckpointError
from segue.models.checkpoints import read_state
from segue.models.nano.mobilenet import MobileNetV2
from segue.nn.module import load_strict


def start_backbone(backbone: MobileNetV2, path: Path) -> None:
    """Give ``backbone`` the weights in ``path``.

    ``.npz`` holds the arrays of a TensorFlow MobileNetV2, ``.safetensors`` the state of this very backbone. Both
    take pixels in [-1, 1]. Raises ``CheckpointError`` for weights of another network.
    """
    if path.suffix == ".safetensors":
        load_strict(backbone, read_state(path))
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            backbone.load_arrays(dict(arrays))
    else:
        raise CheckpointError(f"{path}", "a MobileNetV2's arrays (.npz), or its state (.safetensors)")
