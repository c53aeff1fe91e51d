"""InterFormer as a user meets it: encode once, answer clicks, carry features elsewhere, start from an MAE."""

import numpy as np
import pytest
import torch

from segue.core.errors import CheckpointError, ConfigError, InputError
from segue.core.types import Click, Features
from segue.models.interformer.model import InterFormer
from segue.models.interformer.network import InterFormerConfig, InterFormerNet
from segue.models.interformer.registry import TINY
from segue.models.interformer.uper import FcnHead
from segue.session.session import Session


@pytest.fixture
def model():
    torch.manual_seed(0)
    return InterFormer(**TINY).eval()


@pytest.fixture
def image():
    picture = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    picture[10:30, 20:50] = (250, 20, 20)
    return picture


def test_small_images_keep_their_size_and_large_ones_are_bounded(model):
    assert model.frame((50, 70)).grid == (64, 96)
    assert model.frame((50, 70)).resized == (50, 70)
    assert model.frame((4000, 6000)).resized == (683, 1024)
    assert model.frame((4000, 6000)).grid == (704, 1024)


def test_a_dialogue_follows_the_published_order(model, image):
    """Click, decode, label by the answer, click again: the same as the official loop written out."""
    from segue.models.interformer.reference_map import unknown_labels, with_answer, with_clicks

    session = Session(model, image)
    labels, state = unknown_labels((64, 96)), model.tensors(session.features.maps)
    for x, y, positive in ((30, 20, True), (60, 40, False), (45, 12, True)):
        session.add(Click(x, y, positive))
        labels = with_clicks(labels, [(y, x, positive)])
        with torch.inference_mode():
            two = model.net.decode(state, labels)
            full = torch.nn.functional.interpolate(two, (64, 96), mode="bilinear", align_corners=False)
        answer = full.argmax(1, keepdim=True) == 1
        assert np.array_equal(session.mask, answer[0, 0, :50, :70].numpy())
        labels = with_answer(labels, answer)
        assert np.array_equal(session.prediction.memory["labels"], labels.numpy())


def test_several_clicks_at_once_are_drawn_in_order(model, image):
    features = model.encode([image])
    said = model.decode(features, [Click(30, 20), Click(33, 20, positive=False)])
    assert said.memory["labels"][0, 0, 20, 31] == 0  # the later click's disk lies on top
    assert said.memory["labels"][0, 0, 20, 27] == 4


def test_the_zoomed_variant_looks_closer_from_the_second_click_on(image):
    torch.manual_seed(0)
    plain, zoomed = InterFormer(**TINY).eval(), InterFormer(**TINY | {"zoom_in": True}).eval()
    zoomed.load_state_dict(plain.state_dict())
    big = np.zeros((160, 160, 3), np.uint8)
    big[:50, :70] = image
    sessions = [Session(m, big) for m in (plain, zoomed)]
    for session in sessions:
        session.add(Click(20, 20))
    assert np.array_equal(sessions[0].prediction.logits, sessions[1].prediction.logits)
    answers = []
    for session in sessions:
        small = {**session.prediction.memory, "answer": np.zeros_like(session.prediction.memory["answer"])}
        answers.append(session.model.decode(session.features, [Click(20, 20), Click(25, 22)], small).logits)
    assert not np.array_equal(*answers)


def test_the_decoder_alone_answers_from_carried_features(model, image):
    alone = model.without_encoder().eval()
    assert sum(p.numel() for p in alone.parameters()) < sum(p.numel() for p in model.parameters())
    assert alone.fingerprint() == model.fingerprint()
    features = model.encode([image])
    half = Features({k: v.astype(np.float16) for k, v in features.maps.items()}, features.frames)
    expected = model.decode(features, [Click(30, 20)]).logits
    assert np.array_equal(alone.decode(features, [Click(30, 20)]).logits, expected)
    assert np.abs(alone.decode(half, [Click(30, 20)]).logits - expected).max() < 0.02 * np.abs(expected).max()
    with pytest.raises(InputError, match="segue encode"):
        alone.encode([image])


def test_no_cached_map_depends_on_the_batch(model, image):
    other = image[::-1].copy()
    both, alone = model.encode([other, image]).split()[1], model.encode([image])
    for name, value in alone.maps.items():
        assert np.allclose(both.maps[name], value, rtol=1e-5, atol=1e-5), name
    with pytest.raises(InputError, match="one grid"):
        model.encode([image, np.zeros((100, 100, 3), np.uint8)])


def test_published_files_repeat_the_position_index_in_every_layer(model):
    state = dict(model.net.state_dict())
    state |= {f"backbone.layers.{i}.attn.relative_position_index": model.net.backbone.index for i in range(2)}
    InterFormer(**TINY).load_published(state)
    del state["neck.patch_embed"]
    with pytest.raises(CheckpointError, match=r"neck\.patch_embed"):
        InterFormer(**TINY).load_published(state)
    with pytest.raises(CheckpointError, match="SAM checkpoint"):
        InterFormer(**TINY).load_published({"image_encoder.x": torch.zeros(1)})


@pytest.mark.parametrize("names", ["mae", "mm"])
def test_an_mae_starts_the_encoder_under_either_naming(names):
    from segue.models.interformer.weights import mae_name

    torch.manual_seed(0)
    source = InterFormerNet(InterFormerConfig.from_fields(TINY | {"img_size": (32, 32)})).backbone
    own = ("gamma", "table", "fpn")  # what an MAE does not have
    state = {k: v for k, v in source.state_dict().items() if not any(word in k for word in own)}
    if names == "mae":
        state = {mae_name(key): value for key, value in state.items()}
    model = InterFormer(**TINY)
    left = model.load_backbone(state)
    assert torch.equal(model.net.backbone.layers[1].ffn.layers[1].weight, source.layers[1].ffn.layers[1].weight)
    assert {key.rsplit(".", 1)[-1] for key in left if key.startswith("layers")} == {
        "gamma_1",
        "gamma_2",
        "relative_position_bias_table",
    }


def test_the_baseline_neck_answers_too(image):
    model = InterFormer(**TINY | {"neck": "fpn"}).eval()
    session = Session(model, image)
    assert session.add(Click(30, 20)).shape == (50, 70)
    assert set(session.features.maps) == {"stride4", "stride8", "stride16", "stride32"}


def test_training_reaches_every_parameter(model):
    model.train()
    labels = torch.randint(0, 5, (2, 1, 64, 64))
    main, auxiliary = model.net(torch.randn(2, 3, 64, 64), labels)
    (main.sum() + auxiliary.sum()).backward()
    # a key's bias moves every logit of a row alike, and the softmax ignores that
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize(
    ("change", "says"),
    [({"num_heads": 3}, "num_heads"), ({"refine_start": (3, 1, 1, 1)}, "refine_start"), ({"x": 1}, "x")],
)
def test_a_configuration_that_cannot_work_says_why(change, says):
    with pytest.raises(ConfigError, match=says):
        InterFormer(**TINY | change)


def test_bfloat16_autocast_and_channels_last_stay_close(model):
    labels, image = torch.randint(0, 5, (1, 1, 64, 64)), torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        exact = model.net.decode(model.net.encode(image), labels)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.net.decode(model.net.encode(image), labels)
        net = model.net.to(memory_format=torch.channels_last)
        last = net.decode(net.encode(image.to(memory_format=torch.channels_last)), labels)
    assert (rough.float() - exact).abs().max() < 0.15 * exact.abs().max()
    assert torch.allclose(last, exact, atol=1e-5)


def test_the_auxiliary_head_has_the_published_size() -> None:
    assert sum(p.numel() for p in FcnHead(128, 64, 2).parameters()) == 73986


def test_a_training_step_takes_a_single_target() -> None:
    net = InterFormer(**TINY).net.train()
    logits = net.decode(net.encode(torch.zeros(1, 3, 64, 64)), torch.full((1, 1, 64, 64), 2))
    logits.square().mean().backward()
    assert logits.shape == (1, 2, 16, 16)


def test_training_normalises_pixels_as_answering_does() -> None:
    model, image = InterFormer(**TINY).eval(), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    features = model.encode([image])
    trained = model.training_core().encode(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    for name, value in trained.items():
        assert torch.allclose(value, model.tensor(features.maps[name]), atol=1e-4), name


def test_training_keeps_the_reference_map_of_inference() -> None:
    """The same clicks and answers give the same labels and logits on both paths, round by round."""
    model, image = InterFormer(**TINY).eval(), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    features, core, memory = model.encode([image]), model.training_core(), None
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    maps, labels = core.encode(pixels), core.begin(pixels)
    made: list[Click] = []
    for x, y, positive in [(20, 20, True), (50, 40, False), (10, 60, True), (40, 8, False)]:
        made.append(Click(x, y, positive))
        prediction = model.decode(features, made, memory)
        memory = prediction.memory
        labels = core.clicked(labels, torch.tensor([[[float(x), float(y), float(positive)]]]))
        with torch.no_grad():
            logits, _ = core.answer(maps, labels, torch.zeros(1, 0, 3))
        labels = core.answered(labels, logits)
        assert torch.equal(labels, model.tensor(memory["labels"]))
