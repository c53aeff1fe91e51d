"""Model cards in the form that the Hugging Face hub reads: YAML with licence, tags and base model, then words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

_KNOWN = {
    "apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "gpl-3.0",
    "agpl-3.0", "openrail", "unlicense", "cc0-1.0",
}  # fmt: skip


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
        rows = [f"| {name} | {value:.4g} |" if isinstance(value, float) else f"| {name} | {value} |"
                for name, value in figures.items()]  # fmt: skip
        parts += ["", "## Measured", "", "| figure | value |", "|---|---|", *rows]
    return "\n".join(parts) + "\n"
