"""The Hugging Face hub: folders fetched from it, checked by their SHA-256, and the cards that it reads."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from segue.core.errors import CheckpointError, DownloadError, StorageError
from segue.core.files import file_digest

_KNOWN = {
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "bsd-2-clause",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-sa-4.0",
    "gpl-3.0",
    "agpl-3.0",
    "openrail",
    "unlicense",
    "cc0-1.0",
}


def hub_card(
    title: str,
    licence: str,
    summary: str,
    *,
    source: str = "",
    base_model: str = "",
    tags: Sequence[str] = (),
    figures: Mapping[str, float | str] | None = None,
    use: str = "",
) -> str:
    """README.md of a model or adapter folder.

    ``figures`` are what was measured, by name; an empty table is left out rather than filled with promises.
    A ``licence`` that the hub has no id for is "other", with its name. Source: the hub's model card metadata.

    >>> print(hub_card("nano", "Apache-2.0", "Small.", tags=("interactive",)).splitlines()[1])
    library_name: segue
    """
    identity = licence.lower()
    head: dict[str, object] = {"library_name": "segue", "license": identity if identity in _KNOWN else "other"}
    if identity not in _KNOWN:
        head["license_name"] = licence
    head["pipeline_tag"] = "image-segmentation"
    head["tags"] = ["segue", *tags]
    if base_model:
        head["base_model"] = base_model
    parts = ["---", yaml.safe_dump(head, sort_keys=False).rstrip(), "---", "", f"# {title}", "", summary]
    origin = f" Weights: {source}." if source else ""
    parts += ["", f"Licence: {licence}.{origin}"]
    if use:
        parts += ["", "```python", use, "```"]
    if figures:
        rows = [
            f"| {name} | {value:.4g} |" if isinstance(value, float) else f"| {name} | {value} |"
            for name, value in figures.items()
        ]
        parts += ["", "## Measured", "", "| figure | value |", "|---|---|", *rows]
    return "\n".join(parts) + "\n"


def check_sha256(path: Path, expected: str) -> None:
    """Raise ``CheckpointError`` unless ``path`` is the very file that was published; '' checks nothing.

    >>> check_sha256(Path("weights.pth"), "")
    """
    if expected and (found := file_digest(path)) != expected.lower():
        raise CheckpointError(
            f"{path} with SHA-256 {found}",
            f"the published file, {expected.lower()}",
            "it is damaged or another version: download it again",
        )


def is_hub_id(name: str) -> bool:
    """Whether ``name`` is spelt like a Hugging Face id.

    >>> is_hub_id("CIDAS/clipseg-rd64"), is_hub_id("./folder"), is_hub_id("nano")
    (True, False, False)
    """
    return name.count("/") == 1 and not name.startswith((".", "/"))


def fetch(
    repo: str,
    revision: str | None = None,
    local_files_only: bool | None = None,
    *,
    files: Sequence[str] = ("config.json", "model.safetensors"),
    option: str = "--model",
) -> Path:
    """The local folder of Hugging Face repository ``repo``, downloaded unless it is cached or we are offline.

    ``HF_HUB_OFFLINE=1`` and ``local_files_only`` keep off the network; ``revision`` is a branch, tag or commit.
    ``files`` and ``option`` are named where it fails: what to place by hand, and how to pass its folder.
    Raises ``DownloadError`` that says what failed and which files to place where, and ``StorageError`` for a full
    disk.
    """
    from huggingface_hub import constants, snapshot_download

    try:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                local_files_only=bool(local_files_only),
                allow_patterns=["*.json", "*.safetensors", "*.txt", "merges.txt"],
            )
        )
    except Exception as error:  # the hub's client raises a dozen unrelated types
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StorageError(f"no room for {repo} in {constants.HF_HUB_CACHE}", "", "free some space") from error
        at = f"/tree/{revision}" if revision else ""
        raise DownloadError(
            f"no copy of {repo}{f' at {revision}' if revision else ''}: {_why(error, bool(local_files_only))}",
            f"{', '.join(files[:-1])} and {files[-1]} from https://huggingface.co/{repo}{at}",
            f"place them in one folder and pass it as {option} FOLDER (the cache is {constants.HF_HUB_CACHE})",
        ) from error


def _why(error: Exception, local_files_only: bool) -> str:
    """One line on what kept the hub's client from answering."""
    from huggingface_hub import constants

    kinds = {kind.__name__ for kind in type(error).__mro__}
    if local_files_only or constants.HF_HUB_OFFLINE or "OfflineModeIsEnabled" in kinds:
        return "it is not in the cache, and downloads are switched off (local_files_only or HF_HUB_OFFLINE)"
    if "GatedRepoError" in kinds:
        return "its publisher wants terms accepted first (log in with `hf auth login`)"
    if "RevisionNotFoundError" in kinds:
        return "it has no such revision"
    if "RepositoryNotFoundError" in kinds:
        return "there is no such repository, or it is private"
    if kinds & {"LocalEntryNotFoundError", "ConnectError", "ConnectionError", "TimeoutException", "Timeout"}:
        return "the hub cannot be reached and it is not in the cache"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"
