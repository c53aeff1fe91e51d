"""Pictures of one toy in several places, for jobs that are shown an example."""

import numpy as np

NOISE = np.random.default_rng(0)


def toy(size=(240, 320), at=(60, 80), scale=1.0, seed=1):
    """A striped disc with a yellow core on a smooth background: (H, W, 3) uint8 and its mask."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    base = np.stack([90 + 40 * np.sin(x / 60 + k + seed) + 30 * np.cos(y / 45 + k) for k in range(3)], -1)
    image = base + rng.normal(0, 4, base.shape)
    distance = np.hypot(y - at[0], (x - at[1])) / scale
    mask = distance < 42
    stripes = ((x + y) // max(1, int(8 * scale))) % 2 == 0
    image[mask & stripes], image[mask & ~stripes] = (210, 30, 40), (245, 240, 235)
    image[distance < 15] = (250, 210, 20)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def empty(size=(240, 320), seed=5):
    """The same kind of background without the toy."""
    return toy(size, at=(-500, -500), seed=seed)[0]
