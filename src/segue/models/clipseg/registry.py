"""CLIPSeg's rows in the tables of models."""

from __future__ import annotations

from typing import Any

from segue.core.registry import RegistryEntry
from segue.models.entry import Card, CheckpointEntry, ModelEntry

CONFIG: dict[str, Any] = {
    "vision_config": {"patch_size": 16, "image_size": 352},
    "extract_layers": [3, 6, 9],
    "reduce_dim": 64,
}
_TINY_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2}
TINY: dict[str, Any] = {
    "text_config": _TINY_TOWER | {"vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513},
    "vision_config": _TINY_TOWER | {"patch_size": 16, "image_size": 64},
    "projection_dim": 32,
    "extract_layers": [0, 1, 2],
    "reduce_dim": 16,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
}
_REFINED = {"use_complex_transposed_convolution": True}

MODELS = {
    "clipseg-rd64-refined": ModelEntry(
        "segue.models.clipseg.model:CLIPSeg",
        "CLIPSeg with the finer upsampling: text and example prompts, 352 x 352",
        config=CONFIG | _REFINED,
        tiny=TINY | _REFINED,
        card=Card("https://huggingface.co/CIDAS/clipseg-rd64-refined", "Apache-2.0", "model.safetensors"),
        hub="CIDAS/clipseg-rd64-refined",
        beside=("vocab.json", "merges.txt"),
    ),
    "clipseg-rd64": ModelEntry(
        "segue.models.clipseg.model:CLIPSeg",
        "CLIPSeg as first published: text and example prompts, 352 x 352",
        config=CONFIG,
        tiny=TINY,
        card=Card("https://huggingface.co/CIDAS/clipseg-rd64", "Apache-2.0", "rd64-uni.pth"),
        hub="CIDAS/clipseg-rd64",
        beside=("vocab.json", "merges.txt"),
    ),
}

FOLDERS = {
    "clipseg": RegistryEntry("segue.models.clipseg.model:from_folder", "CLIPSeg, text tower and tokenizer included"),
    "clip": RegistryEntry("segue.models.clipseg.model:from_clip_folder", "a CLIP for CLIPSeg's decoder to stand on"),
}

CHECKPOINTS = {"clipseg": CheckpointEntry("", "a CLIPSeg checkpoint", key="clip.")}
