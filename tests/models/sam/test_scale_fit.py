"""PerSAM-F's fit on a large image: pixels that nearly agree count as one, and the weights stay."""

import cv2
import numpy as np
import torch

from segue.models.sam import scale_fit
from segue.models.sam.scale_fit import fit_scale_weights, merged

CHANCE = np.random.default_rng(0)


def smooth(side, sigma):
    noise = cv2.GaussianBlur(CHANCE.standard_normal((64, 64)).astype(np.float32), (0, 0), sigma)
    return cv2.resize(noise / noise.std(), (side, side), interpolation=cv2.INTER_LINEAR)


def three_scales(side):
    """Logits like a decoder's: a part, the object and its surroundings; and the mask."""
    base = smooth(side, 6)
    logits = [12 * (base - 1.3) + 3 * smooth(side, 2), 12 * (base - 0.7) + 3 * smooth(side, 3), 10 * (base - 0.1)]
    return torch.from_numpy(np.stack(logits).astype(np.float32)), torch.from_numpy(base > 0.8)


def test_merged_pixels_give_the_same_weights(monkeypatch):
    logits, mask = three_scales(320)
    quick = fit_scale_weights(logits, mask, epochs=150)
    monkeypatch.setattr(scale_fit, "MOST_PIXELS", 1 << 30)
    exact = fit_scale_weights(logits, mask, epochs=150)
    assert torch.allclose(quick.weights, exact.weights, rtol=0, atol=1e-4)
    assert torch.allclose(quick.losses, exact.losses, rtol=0, atol=1e-3)


def test_every_pixel_is_counted_once():
    logits, mask = three_scales(320)
    few, target, count = merged(logits.flatten(1), mask.flatten())
    assert few.shape[1] == target.shape[1] == count.shape[1] <= scale_fit.MOST_GROUPS
    assert int(count.sum()) == mask.numel()
    assert int((count * target).sum()) == int(mask.sum())
    mean = (few * count).sum(1) / count.sum()
    assert torch.allclose(mean, logits.flatten(1).mean(1), atol=1e-3)


def test_a_small_image_is_fitted_pixel_by_pixel():
    logits, mask = three_scales(128)
    pixels, target, count = merged(logits.flatten(1), mask.flatten())
    assert count is None
    assert torch.equal(pixels, logits.flatten(1))
    assert int(target.sum()) == int(mask.sum())
