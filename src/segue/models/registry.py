"""The tables of models: what every family in this folder says of itself, and what other packages add.

``MODELS`` names models, ``FOLDERS`` says which function ``from_folder(path) -> Segmenter`` reads a ``model_type`` of
transformers' folders, ``CHECKPOINTS`` tells published files by their keys. A row earns its contract tests and its
heading in docs/models.md.

A family of your own joins by ``MODELS.register("mine", ModelEntry("my_package.model:Mine", ...))``, or without a line
of code where it is used, by an entry point of the group ``segue.models`` whose object is a ``ModelEntry``::

    [project.entry-points."segue.models"]
    mine = "my_package.registry:MINE"
"""

from __future__ import annotations

from segue.core.registry import Registry, RegistryEntry
from segue.models.clipseg import registry as clipseg
from segue.models.entry import Card, CheckpointEntry, ModelEntry
from segue.models.interformer import registry as interformer
from segue.models.nano import registry as nano
from segue.models.sam import registry as sam
from segue.models.segformer import registry as segformer
from segue.models.simpleclick import registry as simpleclick

__all__ = ["CHECKPOINTS", "FOLDERS", "MODELS", "Card", "CheckpointEntry", "ModelEntry"]

MODELS: Registry[ModelEntry] = Registry(
    "model",
    nano.MODELS | simpleclick.MODELS | interformer.MODELS | segformer.MODELS | clipseg.MODELS | sam.MODELS,
    plugins="segue.models",
)

FOLDERS: Registry[RegistryEntry] = Registry("transformers model type", clipseg.FOLDERS | sam.FOLDERS)

_PLAIN_VIT = {
    "mae-decoder": CheckpointEntry(
        "", "an MAE pre-training checkpoint with its decoder", key="decoder_pos_embed", backbone=True
    ),
    "mae": CheckpointEntry("", "an MAE or plain ViT backbone", key="blocks.0.attn.qkv.", backbone=True),
    "mae-mm": CheckpointEntry(
        "", "an MAE or plain ViT backbone in mmsegmentation's layout", key="layers.0.ln1.", backbone=True
    ),
}
CHECKPOINTS: Registry[CheckpointEntry] = Registry(
    "checkpoint layout",
    simpleclick.CHECKPOINTS
    | interformer.CHECKPOINTS
    | {"ritm": CheckpointEntry("", "a RITM checkpoint", key="maps_transform.")}
    | sam.CHECKPOINTS
    | clipseg.CHECKPOINTS
    | segformer.CHECKPOINTS
    | _PLAIN_VIT,
)
