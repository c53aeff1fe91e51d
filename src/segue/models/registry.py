"""The tables of models: one row a model. A row earns its contract tests and its heading in docs/models.md.

``MODELS`` names models; ``FOLDERS`` says, for folders in transformers' layout, which function
``from_folder(path) -> Segmenter`` reads a ``model_type``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segue.core.registry import Registry, RegistryEntry
from segue.models.sam.sizes import FOLDER_READERS, SAM_FAMILY, SHA256


@dataclass(frozen=True)
class Card:
    """Where weights come from and under which licence; ``file`` is the name to place by hand.

    ``mean`` and ``std`` are of RGB values in 0..1. ``sha256`` is that of ``file``, empty where none is known.
    """

    source: str
    licence: str
    file: str = ""
    revision: str = ""
    sha256: str = ""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ModelEntry(RegistryEntry):
    """A model: ``target`` is a class or function called with ``config`` as keywords; ``tiny`` is a configuration
    of the same family small enough for tests; ``shipped`` weights come with the package; ``hub`` is the
    Hugging Face id that ``segue.load`` fetches when no weights are given, ``beside`` what its folder needs beside
    ``config.json`` and ``model.safetensors``."""

    config: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    card: Card = field(default=Card("trained here", "Apache-2.0"))
    shipped: bool = False
    hub: str = ""
    beside: tuple[str, ...] = ()


CLIPSEG: dict[str, Any] = {
    "vision_config": {"patch_size": 16, "image_size": 352},
    "extract_layers": [3, 6, 9],
    "reduce_dim": 64,
}
_TINY_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2}
TINY_CLIPSEG: dict[str, Any] = {
    "text_config": _TINY_TOWER | {"vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513},
    "vision_config": _TINY_TOWER | {"patch_size": 16, "image_size": 64},
    "projection_dim": 32,
    "extract_layers": [0, 1, 2],
    "reduce_dim": 16,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
}

_SIMPLECLICK = "https://github.com/uncbiag/SimpleClick"
_SIMPLECLICK_TINY = {
    "img_size": (64, 64),
    "patch_size": (16, 16),
    "embed_dim": 16,
    "depth": 4,
    "num_heads": 2,
    "num_classes": 1,
    "out_dims": (8, 8, 16, 16),
    "head_channels": 8,
}

_INTERFORMER = "https://github.com/YouHuang67/InterFormer"
_INTERFORMER_TINY = {
    "img_size": (64, 64),
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "dims": (8, 8, 16, 16),
    "target_size": (64, 64),
    "neck_heads": (1, 2, 2, 2),
    "neck_mlp_ratio": (2, 2, 2, 2),
    "head_channels": 8,
    "depths": (2, 1, 2, 1),
    "refine_start": (1, 1, 1, 1),
    "pool_scales": (1, 2),
}

MODELS: Registry[ModelEntry] = Registry(
    "model",
    {
        "nano": ModelEntry(
            "segue.models.nano.model:Nano",
            "the shipped default, 2.8 M parameters: encodes a photo once, answers a click in milliseconds on a CPU",
            tiny={
                "longest": 64,
                "zoom": 64,
                "width": 0.25,
                "channels": (16, 16, 16),
                "blocks": (1, 1, 1),
                "heads": 2,
            },
            card=Card("trained here", "Apache-2.0", "nano.safetensors", mean=(0.5,) * 3, std=(0.5,) * 3),
            shipped=True,
        ),
        "simpleclick-xtiny": ModelEntry(
            "segue.models.simpleclick.model:simpleclick",
            "SimpleClick xTiny, 4 M parameters: clicks and the last mask enter a plain ViT beside the image",
            config={
                "img_size": (448, 448),
                "patch_size": (16, 16),
                "embed_dim": 160,
                "depth": 8,
                "num_heads": 4,
                "out_dims": (96, 192, 288, 384),
                "head_channels": 128,
            },
            tiny=_SIMPLECLICK_TINY,
            card=Card(_SIMPLECLICK, "MIT", "cocolvis_vit_xtiny.pth"),
        ),
        "simpleclick-base": ModelEntry(
            "segue.models.simpleclick.model:simpleclick",
            "SimpleClick ViT-B, 98 M parameters: clicks and the last mask enter a plain ViT beside the image",
            config={
                "img_size": (448, 448),
                "patch_size": (16, 16),
                "embed_dim": 768,
                "depth": 12,
                "num_heads": 12,
                "out_dims": (128, 256, 512, 1024),
                "head_channels": 256,
            },
            tiny=_SIMPLECLICK_TINY,
            card=Card(_SIMPLECLICK, "MIT", "cocolvis_vit_base.pth"),
        ),
        "simpleclick-large": ModelEntry(
            "segue.models.simpleclick.model:simpleclick",
            "SimpleClick ViT-L, 324 M parameters: clicks and the last mask enter a plain ViT beside the image",
            config={
                "img_size": (448, 448),
                "patch_size": (16, 16),
                "embed_dim": 1024,
                "depth": 24,
                "num_heads": 16,
                "out_dims": (192, 384, 768, 1536),
                "head_channels": 256,
            },
            tiny=_SIMPLECLICK_TINY,
            card=Card(_SIMPLECLICK, "MIT", "cocolvis_vit_large.pth"),
        ),
        "simpleclick-huge": ModelEntry(
            "segue.models.simpleclick.model:simpleclick",
            "SimpleClick ViT-H, 662 M parameters: clicks and the last mask enter a plain ViT beside the image",
            config={
                "img_size": (448, 448),
                "patch_size": (14, 14),
                "embed_dim": 1280,
                "depth": 32,
                "num_heads": 16,
                "out_dims": (240, 480, 960, 1920),
                "head_channels": 256,
            },
            tiny=_SIMPLECLICK_TINY,
            card=Card(_SIMPLECLICK, "MIT", "cocolvis_vit_huge.pth"),
        ),
        "interformer-light": ModelEntry(
            "segue.models.interformer.model:InterFormer",
            "InterFormer-Light: ViT-B encodes once (95 M parameters), 2.4 M answer each click",
            config={"embed_dim": 768, "depth": 12, "num_heads": 12, "depths": (1, 1, 2, 1)},
            tiny=_INTERFORMER_TINY,
            card=Card(_INTERFORMER, "MIT", "interformer_light_coco_lvis_320k.pth"),
        ),
        "interformer-tiny": ModelEntry(
            "segue.models.interformer.model:InterFormer",
            "InterFormer-Tiny: ViT-L encodes once (320 M parameters), 4.9 M answer each click, zoomed in",
            config={
                "embed_dim": 1024,
                "depth": 24,
                "num_heads": 16,
                "depths": (2, 2, 6, 3),
                "refine_start": (1, 1, 2, 1),
                "zoom_in": True,
            },
            tiny=_INTERFORMER_TINY,
            card=Card(_INTERFORMER, "MIT", "interformer_tiny_coco_lvis_320k.pth"),
        ),
        "segformer-b0-click": ModelEntry(
            "segue.models.segformer.model:SegFormerClick",
            "SegFormer B0 as a click model, 3.7 M parameters (ClickAdapter, table I)",
            config={"widths": (32, 64, 160, 256), "depths": (2, 2, 2, 2)},
            tiny={"widths": (16, 32, 40, 64), "depths": (1, 1, 1, 1), "side": 64, "channels": 8},
            card=Card("https://github.com/NVlabs/SegFormer", "NVIDIA Source Code License", "mit_b0.pth"),
        ),
        "segformer-b3-click": ModelEntry(
            "segue.models.segformer.model:SegFormerClick",
            "SegFormer B3 as a click model, 44 M parameters (ClickAdapter, table I)",
            config={"widths": (64, 128, 320, 512), "depths": (3, 4, 18, 3)},
            tiny={"widths": (16, 32, 40, 64), "depths": (1, 2, 1, 1), "side": 64, "channels": 8},
            card=Card("https://github.com/NVlabs/SegFormer", "NVIDIA Source Code License", "mit_b3.pth"),
        ),
        "clipseg-rd64-refined": ModelEntry(
            "segue.models.clipseg.model:CLIPSeg",
            "CLIPSeg with the finer upsampling: text and example prompts, 352 x 352",
            config=CLIPSEG | {"use_complex_transposed_convolution": True},
            tiny=TINY_CLIPSEG | {"use_complex_transposed_convolution": True},
            card=Card("https://huggingface.co/CIDAS/clipseg-rd64-refined", "Apache-2.0", "model.safetensors"),
            hub="CIDAS/clipseg-rd64-refined",
            beside=("vocab.json", "merges.txt"),
        ),
        "clipseg-rd64": ModelEntry(
            "segue.models.clipseg.model:CLIPSeg",
            "CLIPSeg as first published: text and example prompts, 352 x 352",
            config=CLIPSEG,
            tiny=TINY_CLIPSEG,
            card=Card("https://huggingface.co/CIDAS/clipseg-rd64", "Apache-2.0", "rd64-uni.pth"),
            hub="CIDAS/clipseg-rd64",
            beside=("vocab.json", "merges.txt"),
        ),
        **{
            p.name: ModelEntry(
                p.target,
                p.summary,
                p.extra,
                p.config,
                p.tiny,
                Card(p.source, p.licence, p.file, sha256=SHA256.get(p.file, "")),
                hub=p.hub,
            )
            for p in SAM_FAMILY
        },
    },
)

FOLDERS: Registry[RegistryEntry] = Registry(
    "transformers model type",
    {
        "clipseg": RegistryEntry(
            "segue.models.clipseg.model:from_folder", "CLIPSeg, text tower and tokenizer included"
        ),
        "clip": RegistryEntry(
            "segue.models.clipseg.model:from_clip_folder", "a CLIP for CLIPSeg's decoder to stand on"
        ),
        **{kind: RegistryEntry(target, summary) for kind, (target, summary) in FOLDER_READERS.items()},
    },
)
