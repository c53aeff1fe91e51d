"""CLIPSeg as its users meet it: words and examples in, masks out; published files by their keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.core.errors import CheckpointError, ConfigError, MissingFile
from segue.core.types import Click, Image, Reference, Text
from segue.models.clipseg.model import CLIPSeg, spotlight
from segue.models.clipseg.tokens import byte_tokenizer
from segue.models.registry import MODELS
from segue.session.load import build, load
from segue.session.session import Session

IMAGE: Image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


def tiny(name: str = "clipseg-rd64-refined", **config: Any) -> CLIPSeg:
    torch.manual_seed(0)
    model = build(name, {**MODELS[name].tiny, **config}).eval()
    assert isinstance(model, CLIPSeg)
    return model


def said(model: CLIPSeg, *prompts: Text | Reference) -> NDArray[np.float32]:
    return model.decode(model.encode([IMAGE]), list(prompts)).logits


def test_several_texts_are_candidates_in_their_order() -> None:
    model = tiny()
    both = said(model, Text("a cup"), Text("two hands"))
    for i, words in enumerate(("a cup", "two hands")):
        np.testing.assert_allclose(both[:, i : i + 1], said(model, Text(words)), atol=1e-3, rtol=0)


def test_a_token_sees_only_those_before_it() -> None:
    """Without the causal mask, a state would change with the words after it."""
    core = tiny().core
    seen: list[Tensor] = []
    layer = core.clip.text_model.encoder.layers[-1]
    layer.mlp.register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.no_grad():
        core.text(torch.tensor([[512, 5, 6, 7, 513]]))
        core.text(torch.tensor([[512, 5, 6, 9, 513]]))
    torch.testing.assert_close(seen[0][:, :3], seen[1][:, :3])
    assert not torch.allclose(seen[0][:, 3:], seen[1][:, 3:])


def test_padding_changes_nothing() -> None:
    model = tiny()
    ids, mask = model.tokens(["cup", "a much longer text"])
    alone, _ = model.tokens(["cup"])
    with torch.no_grad():
        torch.testing.assert_close(model.core.text(ids, mask)[:1], model.core.text(alone))


def test_a_texts_condition_is_computed_once_until_a_weight_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    calls: list[int] = []
    real = model.core.text
    monkeypatch.setattr(model.core, "text", lambda *a: calls.append(1) or real(*a))
    first = said(model, Text("a cup"))
    said(model, Text("a cup"))
    assert len(calls) == 1
    with torch.no_grad():
        model.core.clip.text_projection.weight.mul_(-1)
    assert not np.array_equal(said(model, Text("a cup")), first)
    assert len(calls) == 2


def test_an_example_answers_like_a_text_does() -> None:
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[10:40, 20:50] = True
    logits = said(tiny(), Reference(IMAGE, mask), Text("a cup"))
    assert logits.shape == (1, 2, 64, 64)


def test_the_example_is_cropped_and_its_background_darkened() -> None:
    mask = np.zeros((100, 100), bool)
    mask[40:60, 40:60] = True
    shown = spotlight(np.full((100, 100, 3), 200, np.uint8), mask)
    assert shown.shape == (40, 40, 3)
    assert shown[20, 20, 0] == 200
    assert shown[0, 0, 0] == 20


def test_a_texts_mask_is_refined_by_a_click_model() -> None:
    text = Session(tiny(), IMAGE)
    mask = text.add(Text("a cup"))
    clicks = Session(build("simpleclick-xtiny", MODELS["simpleclick-xtiny"].tiny).eval(), IMAGE)
    clicks.set_mask(mask)
    assert clicks.add(Click(30, 20, positive=False)).shape == mask.shape


def original_layout(model: CLIPSeg, *, clip: bool) -> dict[str, Tensor]:
    """The model's weights as the original code's checkpoints name and store them."""
    back = [
        ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
        ("text_model.encoder.layers.", "transformer.resblocks."),
        ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
        ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
        ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
        ("vision_model.pre_layrnorm.", "visual.ln_pre."),
        ("vision_model.post_layernorm.", "visual.ln_post."),
        ("visual_projection.weight", "visual.proj"),
        ("text_model.embeddings.token_embedding.", "token_embedding."),
        ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        ("text_model.final_layer_norm.", "ln_final."),
        ("text_projection.weight", "text_projection"),
        ("self_attn.", "attn."),
        (".layer_norm", ".ln_"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    ]
    decoder = [
        ("transposed_convolution.", "trans_conv."),
        ("mlp.fc", "linear"),
        (".layer_norm", ".norm"),
        ("layers.", "blocks."),
    ]
    out: dict[str, Tensor] = {"reduce.weight": torch.zeros(1)}
    state = model.core.state_dict()
    for key, value in state.items():
        part, _, name = key.partition(".")
        if part == "clip" and not clip:
            continue
        for new, old in back if part == "clip" else decoder:
            name = name.replace(new, old)
        name = f"clip_model.{name}" if part == "clip" else name
        if ".q_proj." in key:
            joined = [state[key.replace("q_proj", f"{p}_proj")] for p in "qkv"]
            out[name.replace("q_proj.", "in_proj_")] = torch.cat(joined)
        elif ".k_proj." not in key and ".v_proj." not in key:
            out[name] = value.T if "_projection" in key else value
    if clip:
        out |= {k.replace("clip_model.visual", "model"): v for k, v in out.items() if k.startswith("clip_model.visual")}
    return out


def test_the_original_checkpoint_loads_by_its_keys(tmp_path: Path) -> None:
    source, target = tiny("clipseg-rd64"), build("clipseg-rd64", MODELS["clipseg-rd64"].tiny).eval()
    torch.save(original_layout(source, clip=True), tmp_path / "clip_plus_rd64-uni.pth")
    from segue.models.checkpoints import read_state

    target.load_published(read_state(tmp_path / "clip_plus_rd64-uni.pth"))
    assert np.array_equal(said(target, Text("a cup")), said(source, Text("a cup")))  # type: ignore[arg-type]


def test_a_decoder_alone_is_refused_until_clip_is_there() -> None:
    source = tiny("clipseg-rd64")
    decoder = original_layout(source, clip=False)
    target = tiny("clipseg-rd64")
    with pytest.raises(CheckpointError, match="clip-vit-base-patch16"):
        target.load_published(decoder)
    target.load_published(
        {k: v for k, v in source.core.state_dict().items() if k.startswith("clip.")}
        | {f"decoder.{k}": torch.zeros_like(v) for k, v in source.core.decoder.state_dict().items()}
    )
    target.load_published(decoder)
    assert np.array_equal(said(target, Text("a cup")), said(source, Text("a cup")))


def test_a_position_table_of_another_size_is_resized() -> None:
    small, large = tiny(), tiny()
    state = dict(small.core.state_dict())
    key = "clip.vision_model.embeddings.position_embedding.weight"
    state[key] = torch.cat((state[key][:1], torch.ones(4, 32)))
    large.load_published(state)
    torch.testing.assert_close(large.core.state_dict()[key][1:], torch.ones(16, 32))


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(CheckpointError, match="do not fit"):
        tiny().load_published({"clip.logit_scale": torch.zeros(()), "decoder.nothing": torch.zeros(2)})


def saved_folder(folder: Path) -> CLIPSeg:
    """A folder in transformers' layout with a tokenizer, as users download it."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    torch.manual_seed(0)
    net = CLIPSegForImageSegmentation(CLIPSegConfig(**MODELS["clipseg-rd64-refined"].tiny))
    net.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return CLIPSeg(net).eval()


def test_a_folder_in_transformers_layout_opens_with_its_tokenizer(tmp_path: Path) -> None:
    source = saved_folder(tmp_path)
    model = load(tmp_path, device="cpu")
    assert isinstance(model, CLIPSeg)
    np.testing.assert_allclose(said(model, Text("a cup")), said(source, Text("a cup")), atol=1e-3, rtol=0)


def test_saved_again_in_our_layout_it_keeps_its_sizes_and_its_tokenizer(tmp_path: Path) -> None:
    saved_folder(tmp_path / "theirs")
    model = load(tmp_path / "theirs", device="cpu")
    again = load(model.save_pretrained(tmp_path / "ours"), device="cpu")
    assert isinstance(again, CLIPSeg)
    assert again.tokenizer == str(tmp_path / "ours")
    assert again.fingerprint() == model.fingerprint()  # of the weights and of the configuration
    np.testing.assert_allclose(said(again, Text("a cup")), said(model, Text("a cup")), atol=1e-3, rtol=0)


def test_a_folder_without_tokenizer_says_which_files_are_missing(tmp_path: Path) -> None:
    saved_folder(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        said(load(tmp_path, device="cpu"), Text("a cup"))  # type: ignore[arg-type]


def test_a_text_tower_too_small_for_bytes_is_refused_when_words_arrive() -> None:
    text = {**MODELS["clipseg-rd64"].tiny["text_config"], "vocab_size": 99, "eos_token_id": 98, "pad_token_id": 98}
    with pytest.raises(ConfigError, match="vocab_size >= 514"):
        said(tiny("clipseg-rd64", text_config=text), Text("a cup"))


def test_without_weights_the_row_does_not_answer_with_random_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises((MissingFile, OSError), match="clipseg"):
        load("clipseg-rd64-refined", local_files_only=True)


@pytest.mark.parametrize("name", ["clipseg-rd64", "clipseg-rd64-refined"])
def test_a_clip_folder_and_a_published_decoder_make_a_clipseg(name: str, tmp_path: Path) -> None:
    """CLIP from its own folder at its own size, CLIPSeg's decoder from the original file, refined or not."""
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 10, "num_attention_heads": 2}
    text = tower | {"vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    vision = tower | {"patch_size": 16, "image_size": 64}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    upsampling = MODELS[name].config.get("use_complex_transposed_convolution", False)
    source = CLIPSeg(
        text_config=text, vision_config=vision, projection_dim=16, use_complex_transposed_convolution=upsampling
    )
    torch.save(original_layout(source, clip=False), tmp_path / "rd64.pth")
    with pytest.raises(CheckpointError, match="without CLIPSeg's decoder"):
        said(load(tmp_path, device="cpu"), Text("a cup"))  # type: ignore[arg-type]
    model = load(tmp_path, weights=tmp_path / "rd64.pth", device="cpu")
    assert said(model, Text("a cup")).shape == (1, 1, 352, 352)  # type: ignore[arg-type]
    for key, value in source.core.decoder.state_dict().items():
        assert torch.equal(model.core.decoder.state_dict()[key], value), key  # type: ignore[union-attr]


def test_only_the_layers_that_the_decoder_taps_run() -> None:
    core = tiny().core
    ran: list[int] = []
    for i, layer in enumerate(core.clip.vision_model.encoder.layers):
        layer.mlp.register_forward_hook(lambda *_, i=i: ran.append(i))
    with torch.no_grad():
        core.vision(torch.zeros(1, 3, 64, 64))
    assert ran == [0, 1, 2]
