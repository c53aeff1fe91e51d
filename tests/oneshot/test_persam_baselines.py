"""Table 5's ways to fit one reference: what they train, that they learn, that the SAM comes back."""

import numpy as np
import pytest
import torch

from segue.adapters.base import detach
from segue.core.errors import ConfigError
from segue.core.types import Click, Reference
from segue.models.sam.model import Sam
from segue.models.sam.registry import tiny_vit_sam
from segue.oneshot.persam_baselines import ADAPTERS, fit_comparator
from tests.models.sam.test_model import lively

IMAGE = np.random.default_rng(3).integers(0, 255, (48, 64, 3), dtype=np.uint8)
MASK = np.zeros((48, 64), bool)
MASK[8:36, 10:44] = True
REFERENCE = Reference(IMAGE, MASK)


@pytest.fixture
def sam():
    return lively(Sam(**tiny_vit_sam("sam")))


def test_parameter_counts_of_table_5_on_a_real_decoder():
    real = Sam(
        **{
            **tiny_vit_sam("sam"),
            "mask_decoder_config": {},
            "prompt_encoder_config": {"image_size": 64, "patch_size": 4},
            "vision_config": {**tiny_vit_sam("sam")["vision_config"], "output_channels": 256, "num_pos_feats": 128},
        }
    )
    counts = {name: make(real).trainable for name, make in ADAPTERS.items()}
    assert counts == {"prompts": 12_288, "adapter": 197_504, "lora": 294_400}  # the paper: 12 K, 196 K, 293 K


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_learn_the_reference_and_leave_the_sam_as_it_was(sam, kind):
    features = sam.encode([IMAGE])
    with torch.no_grad():
        before, _ = sam.predict_low_res(features, [Click(20, 20)], multimask=True)
    fitted = fit_comparator(sam, REFERENCE, kind, steps=25, rate=1e-2)
    assert fitted.losses[-1] < fitted.losses[0]
    assert all(p.grad is None for n, p in sam.named_parameters() if "adapter" not in n and "lora" not in n)
    with torch.no_grad():
        fitted.model.decode(features, [REFERENCE])
        detach(sam, fitted.adapter)
        after, _ = sam.predict_low_res(features, [Click(20, 20)], multimask=True)
    assert torch.equal(before, after)


def test_weights_are_two_or_three(sam):
    two, three = (fit_comparator(sam, REFERENCE, kind, steps=30) for kind in ("two-weights", "three-weights"))
    assert (two.trained, three.trained) == (2, 3)
    weights = [f.model.target([REFERENCE]).weights for f in (two, three)]
    assert float(weights[0].sum()) == pytest.approx(1, abs=1e-5)
    assert float(weights[1].sum()) != pytest.approx(1, abs=1e-5)


def test_an_unknown_comparator_is_named(sam):
    with pytest.raises(ConfigError, match="prompts, adapter, lora"):
        fit_comparator(sam, REFERENCE, "magic")
