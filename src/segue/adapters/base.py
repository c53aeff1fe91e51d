"""Adapters: small learned layers at named sites of a frozen model, put on, taken off, saved alone.

An adapter never imports a model: it asks ``model.sites()`` for places and puts a ``Link`` there, which holds
the module that stood there before. Taking it off puts that very module back, so the base answers bit for bit
as if nothing had happened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from segue.adapters.links import Link
from segue.adapters.registry import ADAPTERS
from segue.core.errors import CheckpointError, ConfigError, DataError, MissingFile, StorageError
from segue.core.files import file_digest, read_json, replacing
from segue.core.segmenter import Segmenter
from segue.data.io.hub import check_sha256, fetch, hub_card, is_hub_id
from segue.nn.module import load_strict, weights_digest

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class Adapter(nn.Module):
    """Learned layers for one model, by site; ``settings`` rebuild it.

    Subclasses take the model and their settings, and call ``place`` for each site. The adapter holds its
    layers only: ``state_dict`` and ``parameters`` are what is trained and saved.
    """

    kind: ClassVar[str] = ""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleDict()
        self.links: dict[str, Callable[[nn.Module], Link]] = {}  # path -> what to build over the base there

    def place(self, model: Segmenter, site: str, link: type[Link], layer: nn.Module) -> None:
        """Put ``layer`` at ``site`` by way of ``link`` once the adapter is attached."""
        self.layers[site.replace(".", "/")] = layer
        self.links[site_path(model, site)] = lambda base: link(base, layer)

    @property
    def trainable(self) -> int:
        """How many numbers training changes."""
        return sum(p.numel() for p in self.parameters())

    def save_pretrained(self, model: Segmenter, folder: Path | str, **options: Any) -> Path:
        """``save_adapter`` by the name that the hub's libraries use."""
        return save_adapter(model, self, folder, **options)

    @staticmethod
    def from_pretrained(model: Segmenter, name_or_path: Path | str, **options: Any) -> Adapter:
        """``load_adapter`` by the name that the hub's libraries use: attached to ``model``, of whatever kind."""
        return load_adapter(model, name_or_path, **options)


def site_path(model: Segmenter, site: str) -> str:
    """The path of the submodule at ``site``; ``ConfigError`` names the sites there are."""
    sites = model.sites()
    if site not in sites:
        raise ConfigError(
            f"the adapter site '{site}' on {describe_model(model)}",
            f"one of: {', '.join(sites) or 'none, this model has no sites'}",
            "choose an adapter made for this model",
        )
    return sites[site]


def sites_like(model: Segmenter, *prefixes: str, needed_by: str) -> list[str]:
    """Sites that begin with one of ``prefixes``, in the model's order; ``ConfigError`` when there is none."""
    sites = [site for site in model.sites() if site.startswith(prefixes)]
    if not sites:
        raise ConfigError(
            f"{describe_model(model)} for a {needed_by} adapter",
            f"a model with sites {', '.join(f'{p}*' for p in prefixes)}",
            "choose another adapter: segue adapt --help lists them",
        )
    return sites


def describe_model(model: Segmenter) -> str:
    """The model's registry name and class, for messages."""
    return f"{model.name} ({type(model).__name__})" if model.name else type(model).__name__


class _Stack:
    """The adapters on one model, lowest first, those of them that are disabled, and what each site held before."""

    def __init__(self, model: Segmenter) -> None:
        self.adapters: list[Adapter] = []
        self.inactive: set[Adapter] = set()
        self.replaced: list[tuple[str, nn.Module]] = []
        self.trained = {p: p.requires_grad for p in model.module.parameters()}

    def rebuild(self, model: Segmenter, inactive: set[Adapter]) -> None:
        """Put every base back, then every other adapter, in order."""
        self.inactive = inactive
        for path, base in reversed(self.replaced):
            _put(model.module, path, base)
        self.replaced = []
        for adapter in self.adapters:
            if adapter in inactive:
                continue
            for path, link in adapter.links.items():
                base = model.module.get_submodule(path)
                self.replaced.append((path, base))
                _put(model.module, path, link(base).train(base.training))


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    owner = model.get_submodule(parent) if parent else model
    while isinstance(owner, Link):
        owner = owner.stand_in()
    setattr(owner, name, module)


def _stack(model: Segmenter) -> _Stack | None:
    stack: _Stack | None = model.__dict__.get("_adapters")
    return stack


def attached(model: Segmenter) -> Sequence[Adapter]:
    """The adapters on ``model``, lowest first, those switched off included."""
    stack = _stack(model)
    return tuple(stack.adapters) if stack else ()


def attach(model: Segmenter, adapter: Adapter) -> Adapter:
    """Put ``adapter`` on ``model``, above those already there, and freeze everything beneath it.

    Attaching is what makes a model trainable by its adapter alone: afterwards only the newest adapter's
    parameters require gradients.
    """
    stack = _stack(model)
    if stack is None:
        stack = _Stack(model)
        model.__dict__["_adapters"] = stack
    if adapter in stack.adapters:
        raise ConfigError("an adapter that is attached already", "one that is not", "detach it first")
    for parameter in model.module.parameters():
        parameter.requires_grad_(False)
    adapter.to(model.device).requires_grad_(True)
    stack.adapters.append(adapter)
    stack.rebuild(model, stack.inactive)
    return adapter


def detach(model: Segmenter, adapter: Adapter | None = None) -> Adapter:
    """Take ``adapter`` (default: the newest) off for good and return it; the others keep their order.

    After the last one, the base's parameters require gradients as they did before.
    """
    stack = _stack(model)
    if stack is None or (adapter is not None and adapter not in stack.adapters):
        raise ConfigError("an adapter that is not on this model", "one of attached(model)", "attach it first")
    removed = adapter or stack.adapters[-1]
    inactive = stack.inactive - {removed}
    stack.rebuild(model, {*stack.adapters})
    stack.adapters.remove(removed)
    stack.rebuild(model, inactive)
    if not stack.adapters:
        for parameter, trained in stack.trained.items():
            parameter.requires_grad_(trained)
        del model.__dict__["_adapters"]
    return removed


@contextmanager
def disabled(model: Segmenter, *adapters: Adapter) -> Iterator[Segmenter]:
    """The model without ``adapters`` (default: without any), bit for bit, for the length of a ``with``.

    >>> from segue.models.registry import MODELS
    >>> from segue.session.load import build
    >>> from segue.adapters.bottleneck import Dense
    >>> model = build("clipseg-rd64", MODELS["clipseg-rd64"].tiny)
    >>> before = model.fingerprint()
    >>> _ = attach(model, Dense(model))
    >>> with disabled(model):
    ...     model.fingerprint() == before
    True
    >>> model.fingerprint() == before
    False
    """
    stack = _stack(model)
    if stack is None:
        yield model
        return
    before = set(stack.inactive)
    stack.rebuild(model, before | set(adapters or stack.adapters))
    try:
        yield model
    finally:
        stack.rebuild(model, before)


@contextmanager
def training(model: Segmenter, adapter: Adapter) -> Iterator[Adapter]:
    """Training mode for the adapter's layers alone: batch statistics and dropout of the base stay as they are."""
    was = model.module.training
    model.eval()
    adapter.train()
    try:
        yield adapter
    finally:
        model.module.train(was)


def save_adapter(
    model: Segmenter,
    adapter: Adapter,
    folder: Path | str,
    card: str = "",
    *,
    licence: str = "unknown",
    figures: Mapping[str, float | str] | None = None,
) -> Path:
    """Write ``adapter_config.json``, ``adapter_model.safetensors`` and ``README.md``: ``card``, or one made of the
    ``licence`` and the ``figures`` that were measured.

    Only the adapter's weights are stored, with a digest of the base that they were trained on: the model and
    every adapter beneath. Raises ``StorageError`` when the disk is full; older files survive that.
    """
    folder = Path(folder)
    config = {
        "library": "segue",
        "segue_adapter": adapter.kind,
        "settings": adapter.settings,
        "base": {"model": model.name, "class": type(model).__name__, "digest": base_digest(model, adapter)},
        "parameters": adapter.trainable,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = {k.removeprefix("layers."): v.detach().cpu().contiguous() for k, v in adapter.state_dict().items()}
        with replacing(folder / WEIGHTS) as beside:
            save_file(state, beside, metadata={"format": "pt"})
        config["sha256"] = file_digest(folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(config, indent=1))
        (folder / "README.md").write_text(card or adapter_card(model, adapter, licence, figures))
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{folder} could not be written ({error})", "a writable folder with room") from error
    return folder


def adapter_card(
    model: Segmenter, adapter: Adapter, licence: str = "unknown", figures: Mapping[str, float | str] | None = None
) -> str:
    """The model card of ``adapter`` for ``model``, with ``figures`` that were measured.

    >>> from segue.adapters.baselines import Head
    >>> from segue.session.load import load
    >>> model = load("nano")
    >>> "# head adapter for nano" in adapter_card(model, attach(model, Head(model)), "MIT")
    True
    """
    base, row = model.name or type(model).__name__, ADAPTERS[adapter.kind]
    about = (
        f"{row.summary[0].upper()}{row.summary[1:]}. {adapter.trainable:,} learned numbers for {base} with weights "
        f"{base_digest(model, adapter)[:12]}, refused on any other. The base's licence holds beside this one."
    )
    use = f'import segue\n\nmodel = segue.load("{base}", adapter="FOLDER or hub id")'
    return hub_card(f"{adapter.kind} adapter for {base}", licence, about, tags=("adapter",), figures=figures, use=use)


def load_adapter(
    model: Segmenter,
    name_or_path: Path | str,
    *,
    revision: str | None = None,
    local_files_only: bool | None = None,
) -> Adapter:
    """Attach the adapter saved in a folder, or fetched by its Hugging Face id (text, not a path).

    Raises ``MissingFile`` when there is none, ``CheckpointError`` when it is damaged or was trained on another
    base: its weights mean nothing there, and ``DownloadError``.
    """
    folder = Path(name_or_path)
    if isinstance(name_or_path, str) and not folder.exists() and is_hub_id(name_or_path):
        folder = fetch(name_or_path, revision, local_files_only, files=(CONFIG, WEIGHTS), option="--adapter")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise MissingFile(
                f"{folder} without {name}", f"an adapter folder ({CONFIG} and {WEIGHTS})", "check the path"
            )
    try:
        config = read_json(folder / CONFIG)
        kind, settings, base = config["segue_adapter"], config["settings"], config["base"]
    except (DataError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / CONFIG}, which is no segue adapter ({error})", "a folder that segue adapt wrote"
        ) from error
    here = base_digest(model)
    if base["digest"] != here:
        raise CheckpointError(
            f"an adapter trained on {base['model'] or base['class']} (weights {base['digest'][:12]}) "
            f"for {describe_model(model)} (weights {here[:12]})",
            "the very model that it was trained on",
            f"load {base['model'] or base['class']} with those weights, or adapt again: segue adapt",
        )
    check_sha256(folder / WEIGHTS, str(config.get("sha256", "")))
    adapter: Adapter = ADAPTERS.load(kind)(model, **settings)
    try:
        state = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS}, which is damaged ({error})", "a whole file", "copy it again"
        ) from error
    load_strict(adapter, {f"layers.{k}": v for k, v in state.items()})
    return attach(model, adapter)


def base_digest(model: Segmenter, adapter: Adapter | None = None) -> str:
    """A digest of everything beneath ``adapter`` (default: of the model with all its adapters)."""
    stack = attached(model)
    if adapter is not None and adapter in stack:
        with disabled(model, *stack[stack.index(adapter) :]):
            return base_digest(model)
    # digests were first saved when a link's learned half was called its piece
    return weights_digest(
        model.module, type(model).__qualname__, rename=lambda name: name.replace(".adapter.", ".piece.")
    )
