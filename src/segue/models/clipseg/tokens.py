"""Words to token ids, with a published tokenizer or, where there is none, in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segue.core.errors import CheckpointError, ConfigError

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
BYTE_IDS = 514  # 256 bytes, the same 256 ending a word, begin, end


class Tokens:
    """Texts -> (ids, mask), both (b, t) int64, at most ``length`` tokens, padded with the end token.

    ``folder`` holds a tokenizer in transformers' layout; None spells words in bytes, with ids 0..513.

    >>> ids, mask = Tokens(None, 514, 16)(["ab", "a"])
    >>> ids.tolist(), mask.sum(1).tolist()
    ([[512, 64, 321, 513], [512, 320, 513, 513]], [4, 3])
    """

    def __init__(self, folder: str | Path | None, vocabulary: int, length: int) -> None:
        self.length = length
        self.tokenizer = byte_tokenizer() if folder is None else _read(folder)
        if len(self.tokenizer) > vocabulary:
            raise ConfigError(
                f"a tokenizer of {len(self.tokenizer)} ids for a text tower of {vocabulary}",
                "no more ids than the tower has",
                "give the tokenizer's folder, or a text_config with vocab_size >= 514 for bytes",
            )

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        out = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.length, return_tensors="pt")
        return out["input_ids"].to(torch.int64), out["attention_mask"].to(torch.int64)


def byte_tokenizer(merges: Sequence[tuple[str, str]] = (), words: Sequence[str] = ()) -> Any:
    """CLIP's kind of tokenizer: lower case, bytes, ``merges`` of pairs, and their results ``words`` as ids 512..."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*letters, *(f"{c}</w>" for c in letters), *words, BEGIN, END]
    ids = {token: i for i, token in enumerate(vocabulary)}
    core = Tokenizer(models.BPE(vocab=ids, merges=list(merges), end_of_word_suffix="</w>", unk_token=END))
    core.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    core.post_processor = processors.RobertaProcessing((END, ids[END]), (BEGIN, ids[BEGIN]), False, False)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BEGIN, eos_token=END, pad_token=END, unk_token=END)


def _read(folder: str | Path) -> Any:
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast

    folder = Path(folder)
    whole, pieces = folder / "tokenizer.json", (folder / "vocab.json", folder / "merges.txt")
    # transformers answers a folder without these files with an empty tokenizer, and no error
    if not whole.is_file() and not all(p.is_file() for p in pieces):
        raise CheckpointError(
            f"no tokenizer in {folder}",
            "tokenizer.json, or vocab.json and merges.txt, beside the weights",
            "copy them from the model's page",
        )
    try:
        kind = PreTrainedTokenizerFast if whole.is_file() else CLIPTokenizer
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"the tokenizer in {folder} ({str(error).splitlines()[0][:120]})", "readable files", "copy them again"
        ) from error
