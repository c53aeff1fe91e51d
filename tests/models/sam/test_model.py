"""The SAM family: candidates, memory, boxes, views and checkpoints."""

import numpy as np
import pytest
import torch
import transformers

from segue.core.errors import CheckpointError, InputError
from segue.core.frame import Frame
from segue.core.types import Box, Click, Features
from segue.models.checkpoints import read_state
from segue.models.registry import MODELS
from segue.models.sam.checkpoints import is_official, sizes, to_transformers
from segue.models.sam.model import Sam
from segue.models.sam.network import Guidance, embed, guided_attention
from segue.models.sam.registry import TINY_HIERA, tiny_vit_sam
from segue.nn.frames import to_image_size
from segue.session.load import load

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
KINDS = {"sam": tiny_vit_sam("sam"), "sam_hq": tiny_vit_sam("sam_hq"), "sam2": TINY_HIERA}


def lively(sam):
    """transformers starts SAM's encoder at almost zero; a test needs weights that do something."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in sam.parameters():
            p.copy_(torch.randn_like(p) * (0.3 if p.ndim > 1 else 0.1) + (p.ndim == 1))
        if sam.kind != "sam2":  # tied in transformers' files
            shared = sam.net.shared_image_embedding.positional_embedding
            sam.net.prompt_encoder.shared_embedding.positional_embedding.copy_(shared)
    return sam.eval()


@pytest.fixture(scope="module", params=KINDS)
def sam(request):
    return lively(Sam(**KINDS[request.param]))


@pytest.fixture(scope="module")
def plain():
    return lively(Sam(**KINDS["sam"]))


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def test_one_click_offers_three_masks_and_more_prompts_one(sam):
    features = sam.encode([IMAGE])
    first = sam.decode(features, [Click(10, 12)])
    assert first.scores.shape == (1, 3)
    assert sam.decode(features, [Click(10, 12), Click(30, 4, False)], first.memory).scores.shape == (1, 1)
    assert sam.decode(features, [Box(2, 3, 30, 31)]).scores.shape == (1, 1)


def test_answers_equal_transformers_own_model(sam):
    features = sam.encode([IMAGE])
    low, scores = sam.predict_low_res(
        features, [Click(20, 15), Click(4.5, 30, False), Box(3, 4, 50, 33)], multimask=True
    )
    frame = features.frame
    points = torch.from_numpy(frame.to_grid(np.array([[[[20.0, 15.0], [4.5, 30.0]]]], np.float32)))
    corners = torch.from_numpy(frame.to_grid(np.array([[3.0, 4.0], [50.0, 33.0]], np.float32))).reshape(1, 1, 4)
    theirs = sam.net(
        pixel_values=sam.pixels(IMAGE, frame),
        input_points=points,
        input_labels=torch.tensor([[[1, 0]]], dtype=torch.int32),
        input_boxes=corners,
    )
    torch.testing.assert_close(low, theirs.pred_masks[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores, theirs.iou_scores[:, 0], rtol=1e-4, atol=1e-4)


def test_whole_number_clicks_are_not_rounded_on_the_way_to_the_grid(plain):
    features = plain.encode([IMAGE])
    whole, _ = plain.predict_low_res(features, [Click(21, 13)], multimask=True)
    real, _ = plain.predict_low_res(features, [Click(21.0, 13.0)], multimask=True)
    assert torch.equal(whole, real)


def test_a_mask_brought_in_changes_the_answer(sam):
    features = sam.encode([IMAGE])
    probability = np.zeros((40, 56), np.float32)
    probability[10:30, 10:40] = 1
    memory = sam.memory_from_mask(features, probability)
    assert memory["logits"].shape[-1] == sam.low_side
    with_mask, _ = sam.predict_low_res(features, [Click(20, 15)], memory, multimask=True)
    without, _ = sam.predict_low_res(features, [Click(20, 15)], multimask=True)
    assert not torch.allclose(with_mask, without)


def test_a_remembered_mask_lies_where_it_was(plain):
    probability = np.zeros((40, 56), np.float32)
    probability[10:30, 10:40] = 1
    features = plain.encode([IMAGE])
    low = plain.memory_from_mask(features, probability)["logits"]
    logits = features.frame.to_image_size(plain.upscale_logits(torch.from_numpy(low)).numpy())[0, 0]
    assert ((logits > 0) == (probability > 0)).mean() > 0.97


def test_scores_stay_in_range_and_keep_their_order(plain):
    with torch.no_grad():
        plain.net.mask_decoder.iou_prediction_head.proj_out.weight.mul_(10)
    features = plain.encode([IMAGE])
    _, raw = plain.predict_low_res(features, [Click(3, 3)], multimask=True)
    scores = plain.decode(features, [Click(3, 3)]).scores
    plain.net.mask_decoder.iou_prediction_head.proj_out.weight.div_(10)
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert np.array_equal(raw.numpy().argsort(), scores.argsort())


def test_a_zoom_view_is_placed_on_the_encoders_square(plain):
    view = Frame.resize(IMAGE.shape[:2], (40, 56)).zoomed((8, 4, 40, 36), (48, 48))
    said = plain.decode(plain.encode([IMAGE], [view]), [Click(20, 15)])
    assert tuple(said.probability().shape) == IMAGE.shape[:2]
    assert said.probability()[0, 0] == 0
    with pytest.raises(InputError, match="fits in"):
        plain.encode([IMAGE], [Frame.resize(IMAGE.shape[:2], (128, 128))])


def test_guidance_softmaxes_twice():
    torch.manual_seed(1)
    q, k, v = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4)
    extra = torch.rand(1, 1, 1, 5)
    out, _ = guided_attention(torch.nn.Identity(), q, k, v, extra, 0.5)
    for head in range(2):
        once = torch.softmax(q[0, head] @ k[0, head].T / 2, -1)
        twice = torch.softmax(once + extra[0, 0], -1)
        torch.testing.assert_close(out[0, :, head], twice @ v[0, head])


def test_guidance_of_one_decode_does_not_leak_into_the_next(plain):
    features = plain.encode([IMAGE])
    before, _ = plain.predict_low_res(features, [Click(20, 15)], multimask=True)
    guidance = Guidance(torch.rand(1, 1, 1, 256), torch.ones(1, 1, 32))
    guided, _ = plain.predict_low_res(features, [Click(20, 15)], multimask=True, guidance=guidance)
    after, _ = plain.predict_low_res(features, [Click(20, 15)], multimask=True)
    assert torch.equal(before, after)
    assert not torch.allclose(before, guided)


def test_gradients_reach_the_encoder(sam):
    with torch.enable_grad():
        frame = sam.frame(IMAGE.shape[:2])
        features = Features(embed(sam.net, sam.kind, sam.pixels(IMAGE, frame)), (frame,))
        sam.predict_low_res(features, [Click(20, 15)], multimask=True)[0].mean().backward()
    first = next(p for p in sam.net.vision_encoder.parameters() if p.requires_grad)
    assert first.grad is not None
    sam.zero_grad(set_to_none=True)


def official_names(state):
    """transformers' names back to segment-anything's, written independently of the code under test."""
    made = {}
    for key, tensor in state.items():
        key = key.replace("vision_encoder.layers", "image_encoder.blocks").replace("vision_encoder", "image_encoder")
        key = key.replace("patch_embed.projection", "patch_embed.proj")
        if key.startswith("image_encoder.neck"):
            for old, new in (("conv1", "0"), ("layer_norm1", "1"), ("conv2", "2"), ("layer_norm2", "3")):
                key = key.replace(old, new)
        key = key.replace("layer_norm_final_attn", "norm_final_attn")
        if "mask_embed" in key:
            for old, new in (
                ("conv1", "0"),
                ("layer_norm1", "1"),
                ("conv2", "3"),
                ("layer_norm2", "4"),
                ("conv3", "6"),
            ):
                key = key.replace(f"mask_embed.{old}", f"mask_downscaling.{new}")
        key = key.replace("upscale_conv1", "output_upscaling.0").replace("upscale_layer_norm", "output_upscaling.1")
        key = key.replace("upscale_conv2", "output_upscaling.3").replace("layer_norm", "norm")
        key = key.replace("encoder.point_embed.", "encoder.point_embeddings.")
        if "mlps" in key or "iou_prediction_head" in key:
            key = key.replace(".layers.0.", ".layers.1.").replace("proj_in", "layers.0").replace("proj_out", "layers.2")
        if key == "prompt_encoder.shared_embedding.positional_embedding":
            continue
        if key == "shared_image_embedding.positional_embedding":
            key = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
        made[key] = tensor
    return made


def test_a_published_pth_answers_like_the_model_it_was_written_from(plain, tmp_path):
    official = official_names(plain.net.state_dict())
    torch.save(official, tmp_path / "sam.pth")
    state = read_state(tmp_path / "sam.pth")
    assert is_official(state)
    assert set(to_transformers(state)) == set(plain.net.state_dict())
    read = Sam("sam", **sizes(state, decoder_heads=2)).eval()
    read.load_published(state)
    again = load("sam-vit-base", weights=tmp_path / "sam.pth", config=MODELS["sam-vit-base"].tiny, device="cpu")
    expected, _ = plain.predict_low_res(plain.encode([IMAGE]), [Click(9, 9)], multimask=True)
    for model in (read, again):
        low, _ = model.predict_low_res(model.encode([IMAGE]), [Click(9, 9)], multimask=True)
        torch.testing.assert_close(low, expected, rtol=1e-3, atol=1e-3)


def test_another_models_checkpoint_is_refused(plain):
    with pytest.raises(CheckpointError, match="keys missing"):
        plain.load_published({"image_encoder.pos_embed": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="SAM checkpoint"):
        sizes({"backbone.weight": torch.zeros(1)})


@pytest.mark.parametrize("kind", KINDS)
def test_a_transformers_folder_opens(kind, tmp_path):
    sam = lively(Sam(**KINDS[kind]))
    sam.net.save_pretrained(tmp_path)
    opened = load(tmp_path, device="cpu")
    expected, _ = sam.predict_low_res(sam.encode([IMAGE]), [Click(9, 9)], multimask=True)
    low, _ = opened.predict_low_res(opened.encode([IMAGE]), [Click(9, 9)], multimask=True)
    torch.testing.assert_close(low, expected)
    again = load(opened.save_pretrained(tmp_path / "ours"), device="cpu")
    saved, _ = again.predict_low_res(again.encode([IMAGE]), [Click(9, 9)], multimask=True)
    assert again.fingerprint() == opened.fingerprint()
    torch.testing.assert_close(saved, low)


def test_mobilesam_takes_a_checkpoint_with_the_classifier_head_that_it_has_no_use_for(tmp_path):
    row = MODELS["mobilesam"]
    made = lively(row.load()(**row.tiny))
    state = made.net.state_dict()
    encoder = {k.replace("vision_encoder", "image_encoder"): v for k, v in state.items() if k.startswith("vision_")}
    rest = official_names({k: v for k, v in state.items() if not k.startswith("vision_")})
    torch.save({**encoder, **rest, "image_encoder.head.bias": torch.zeros(9)}, tmp_path / "mobile_sam.pt")
    opened = load("mobilesam", weights=tmp_path / "mobile_sam.pt", config=row.tiny, device="cpu")
    expected, _ = made.predict_low_res(made.encode([IMAGE]), [Click(9, 9)], multimask=True)
    low, _ = opened.predict_low_res(opened.encode([IMAGE]), [Click(9, 9)], multimask=True)
    assert torch.equal(low, expected)


def test_exported_decoder_graph_equals_asking(sam):
    part = sam.export_graphs()["decoder"]
    features = sam.encode([IMAGE])
    coords, labels, _ = sam.prompt_tensors(features.frame, [Click(20, 15)])
    empty = torch.zeros(1, 1, 2)  # segment-anything's callers append the padding point themselves
    maps = sam.tensors(features.maps)
    others = [v for k, v in maps.items() if k != "embedding"]
    masks, scores, low = part.module(
        maps["embedding"],
        torch.cat((coords, empty), 1),
        torch.cat((labels, -torch.ones(1, 1)), 1),
        part.inputs["mask_input"],
        torch.zeros(1),
        torch.tensor([40.0, 56.0]),
        *others,
    )
    expected, raw = sam.predict_low_res(features, [Click(20, 15)], multimask=True)
    torch.testing.assert_close(low[:, 1:], expected)
    torch.testing.assert_close(scores[:, 1:], raw)
    torch.testing.assert_close(masks[:, 1:], to_image_size(features.frame, sam.upscale_logits(expected)))


def test_edgetam_without_timm_says_what_to_install():
    if transformers.utils.is_timm_available():
        pytest.skip("timm is installed")
    with pytest.raises(ImportError, match="timm"):
        Sam("edgetam")
