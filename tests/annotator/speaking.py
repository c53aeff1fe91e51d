"""A tiny CLIPSeg in transformers' layout, tokenizer included, that says something about every photo."""

from __future__ import annotations

from pathlib import Path

import torch


def speaking_folder(folder: Path) -> Path:
    """Write configuration, tokenizer and random weights whose logits lie on both sides of zero."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    from segue.models.clipseg.tokens import byte_tokenizer
    from segue.models.registry import MODELS

    torch.manual_seed(0)
    net = CLIPSegForImageSegmentation(CLIPSegConfig(**MODELS["clipseg-rd64-refined"].tiny))
    net.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
