"""PerSAM and PerSAM-F against the official code, stage by stage."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segue.core.types import Reference
from segue.models.sam.checkpoints import sizes
from segue.models.sam.model import Sam, bounded_scores
from segue.models.sam.persam import PerSam
from segue.models.sam.scale_fit import fit_scale_weights
from segue.nn.frames import to_image_size
from tests.parity.folders import folders_where

STAGE, LOGITS = 2e-5, 1e-3  # the third step's prompts come from the second's logits: rounding grows


def pytest_generate_tests(metafunc):
    if "golden" in metafunc.fixturenames:
        found = folders_where(metafunc.config, lambda c: "attn_size" in c)
        metafunc.parametrize("golden", found, indirect=True, ids=lambda p: p.name, scope="module")


@dataclass
class Golden:
    config: dict
    io: dict
    sam: Sam
    reference: Reference

    def persam(self, **keywords):
        return PerSam(self.sam, mask_value=int(self.io["ref_mask"].max()), **keywords).eval()

    def encoded(self):
        return self.sam.encode([self.io["test_image"].numpy()])


@pytest.fixture(scope="module")
def golden(request):
    folder: Path = request.param
    config = json.loads((folder / "config.json").read_text())
    weights, io = load_file(folder / "weights.safetensors"), load_file(folder / "io.safetensors")
    sam = Sam(**sizes(weights, config["arch"]["decoder"]["num_heads"])).eval()
    sam.load_published(weights)
    return Golden(config, io, sam, Reference(io["ref_image"].numpy(), io["ref_mask"][..., 0].numpy() > 0))


@pytest.fixture(scope="module")
def stages(golden):
    with torch.no_grad():
        return golden.persam().stages(golden.encoded(), [golden.reference])


@pytest.fixture(scope="module")
def scaled(golden):
    model = golden.persam(scale=True, negative=False, attention=False, semantic=False, epochs=golden.config["epochs"])
    with torch.no_grad():
        return model, model.stages(golden.encoded(), [golden.reference])


def same_masks(prediction, golden):
    """Equal but where our logit is within the tolerance of zero."""
    logits = prediction.frame.to_image_size(prediction.logits)[0]
    differ = (logits > 0) != golden.bool().numpy()
    return logits.shape == tuple(golden.shape) and bool((np.abs(logits[differ]) < LOGITS).all())


def xy(clicks):
    return torch.tensor([[float(c.x), float(c.y)] for c in clicks])


def close(a, b, tolerance):
    a = torch.as_tensor(a)
    return torch.testing.assert_close(a, b.to(a), rtol=0, atol=tolerance)


def test_image_features(golden):
    with torch.no_grad():
        close(golden.encoded().maps["embedding"], golden.io["test_feat"], STAGE)


def test_target_embedding_and_confidence(golden, stages):
    close(stages.guidance.embedding, golden.io["target_embedding"], STAGE)
    close(stages.confidence, golden.io["sim"], STAGE)
    close(stages.guidance.attention, golden.io["attn_sim"], STAGE)


def test_clicks(golden, stages):
    assert torch.equal(xy(stages.clicks), golden.io["points"])
    assert [int(c.positive) for c in stages.clicks] == golden.io["labels"].tolist()


def test_every_step_masks_scores_and_box(golden, stages):
    assert len(stages.steps) == 3
    for i, step in enumerate(stages.steps):
        assert same_masks(step, golden.io[f"step{i}.masks"])
        close(step.scores[0], bounded_scores(golden.io[f"step{i}.scores"]), STAGE)
    box = stages.boxes[0]
    assert [box.x0, box.y0, box.x1, box.y1] == golden.io["step2.box"][0].tolist()
    close(stages.steps[2].memory["logits"][0], golden.io["step2.low_res"], LOGITS)


def test_the_answer(golden):
    model = golden.persam()
    with torch.no_grad():
        answer = model.decode(golden.encoded(), [golden.reference])
    best = slice(answer.best, answer.best + 1)
    assert same_masks(replace(answer, logits=answer.logits[:, best]), golden.io["final_mask"][None])


def test_scale_weights_are_trained_alike(golden):
    io = golden.io
    with torch.no_grad():
        features = golden.sam.encode([golden.reference.image])
        low = io["f.ref_low_res"][None]
        logits = to_image_size(features.frame, golden.sam.upscale_logits(low))[0]
    fit = fit_scale_weights(logits, torch.from_numpy(golden.reference.mask), golden.config["epochs"])
    close(fit.history, io["f.weights_before_epoch"], 1e-6)
    close(fit.losses.double(), io["f.losses"], 1e-5)
    close(fit.weights, io["f.weights_final"], 1e-6)


def test_persam_f_end_to_end(golden, scaled):
    model, stages = scaled
    io = golden.io
    close(model.target([golden.reference]).weights, io["f.weights_final"], 1e-4)
    close(stages.confidence, io["f.sim"], STAGE)
    assert torch.equal(xy(stages.clicks), io["f.points"])
    for i in (1, 2):
        assert same_masks(stages.steps[i], io[f"f.step{i}.masks"])
        close(stages.steps[i].scores[0], bounded_scores(io[f"f.step{i}.scores"]), STAGE)
        box = stages.boxes[i - 1]
        assert [box.x0, box.y0, box.x1, box.y1] == io[f"f.step{i}.box"][0].tolist()
    best = stages.steps[2].best
    assert int((io["f.step2.masks"][best] != io["f.final_mask"]).sum()) == 0


def test_persam_f_point_on_the_reference(golden, scaled):
    model, _ = scaled
    with torch.no_grad():
        features = golden.sam.encode([golden.reference.image])
        confidence = model.confidence(features, model.target([golden.reference]).direction)
    close(confidence, golden.io["f.ref_sim"], STAGE)
