"""Folders in the hub's layout, hand-placed weights, and what is said when something is missing."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import errors

import segue
from segue.core.errors import CheckpointError, ConfigError, DownloadError, StorageError
from segue.core.files import file_digest
from segue.data.io.hub import fetch
from segue.models import pretrained as weights
from segue.models.pretrained import CONFIG, WEIGHTS, save_pretrained
from segue.models.registry import MODELS
from segue.session.load import build

NAME = "simpleclick-xtiny"


@pytest.fixture
def saved(tmp_path):
    model = build(NAME, MODELS[NAME].tiny)
    return model, save_pretrained(model, tmp_path / "tiny", figures={"GrabCut NoC90": 3.125, "images": 50})


def cached(home, repo, folder, revision="a" * 40, branch="main", names=(CONFIG, WEIGHTS)):
    """``folder`` laid into a hub cache as a download would leave it."""
    place = home / "hub" / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / branch).write_text(revision)
    snapshot = place / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for name in names:
        (snapshot / name).write_bytes((folder / name).read_bytes())


def test_what_is_saved_is_loaded_bit_by_bit(saved):
    model, folder = saved
    again = segue.load(folder)
    assert again.name == NAME
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(again.module.state_dict()[name].cpu(), tensor)


def test_from_pretrained_opens_what_load_opens_and_refuses_another_class(saved, tmp_path, monkeypatch):
    from huggingface_hub import constants

    from segue.models.nano.model import Nano
    from segue.models.pretrained import Pretrained

    model, folder = saved
    assert type(Pretrained.from_pretrained(folder)) is type(model)
    with pytest.raises(ConfigError, match=f"holds a {type(model).__name__}; expected a Nano"):
        Nano.from_pretrained(folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    cached(tmp_path, "me/tiny", folder, "b" * 40, "v1")
    assert Pretrained.from_pretrained("me/tiny", revision="v1", local_files_only=True).name == NAME


def test_a_model_with_an_adapter_on_it_is_not_saved_as_if_it_were_bare(tmp_path):
    from segue.adapters.base import attach, disabled
    from segue.adapters.baselines import Head
    from segue.nn.module import weights_digest

    model = build("nano", MODELS["nano"].tiny)
    attach(model, Head(model))
    with pytest.raises(ConfigError, match="detach it first"):
        model.save_pretrained(tmp_path)
    with disabled(model):
        assert weights_digest(segue.load(model.save_pretrained(tmp_path)).module) == weights_digest(model.module)


def test_an_adapter_comes_from_the_hub_too(tmp_path, monkeypatch):
    from huggingface_hub import constants

    from segue.adapters.base import attach, attached
    from segue.adapters.baselines import Head

    model = build("nano", MODELS["nano"].tiny)
    base = model.save_pretrained(tmp_path / "base")
    folder = attach(model, Head(model)).save_pretrained(model, tmp_path / "head")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    cached(tmp_path, "me/head", folder, names=("adapter_config.json", "adapter_model.safetensors"))
    assert [a.kind for a in attached(segue.load(base, adapter="me/head", local_files_only=True))] == ["head"]
    with pytest.raises(DownloadError, match=r"adapter_model\.safetensors from .*--adapter FOLDER"):
        segue.load(base, adapter="me/none", local_files_only=True)


@pytest.mark.parametrize("name", MODELS)
def test_every_models_card_is_one_the_hub_understands(name):
    card = weights.model_card(name, {"figure": 1.5})
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "segue"
    assert head["license"] == head["license"].lower()
    assert "segue" in head["tags"]
    assert MODELS[name].card.licence in card
    assert head.get("base_model", "") == MODELS[name].hub
    assert "| figure | 1.5 |" in card


def test_the_card_says_what_was_measured_and_nothing_else(saved):
    _, folder = saved
    card = (folder / "README.md").read_text()
    assert "| GrabCut NoC90 | 3.125 |" in card
    assert "| images | 50 |" in card
    assert "Measured" not in weights.model_card(NAME)


def test_a_damaged_folder_is_refused_before_it_answers(saved):
    _, folder = saved
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"SHA-256 .* damaged or another version"):
        segue.load(folder)


def test_hand_placed_weights_are_compared_with_the_card(tmp_path, monkeypatch, saved):
    _, folder = saved
    row = MODELS[NAME]
    placed = tmp_path / row.card.file.replace(".pth", ".safetensors")
    placed.write_bytes((folder / WEIGHTS).read_bytes())
    for digest, fits in ((file_digest(placed), True), ("0" * 64, False), ("", True)):
        card = replace(row.card, file=placed.name, sha256=digest)
        monkeypatch.setitem(MODELS._rows, NAME, replace(row, card=card, config=row.tiny))
        if fits:
            assert segue.load(NAME, weights=placed).name == NAME
        else:
            with pytest.raises(CheckpointError, match="SHA-256"):
                segue.load(NAME, weights=placed)


def test_a_sam_under_its_published_name_must_be_the_published_file(tmp_path):
    placed = tmp_path / "sam_vit_b_01ec64.pth"
    placed.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"expected the published file, ec2df627.* download it again"):
        segue.load("sam-vit-base", weights=placed)


OFFLINE = """
import sys, segue
try:
    print(segue.load(sys.argv[1], revision=sys.argv[2] or None).name)
except segue.SegueError as error:
    print("error:", error)
"""


def offline(home, repo, revision=""):
    """A process with HF_HUB_OFFLINE, as the variable is read when the hub's client is imported."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, repo, revision], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_offline_a_cached_model_opens_and_another_is_explained(tmp_path, saved):
    _, folder = saved
    cached(tmp_path, "me/tiny", folder)
    assert offline(tmp_path, "me/tiny") == NAME
    said = offline(tmp_path, "me/other")
    assert said.startswith("error: got no copy of me/other")
    for part in (
        "HF_HUB_OFFLINE",
        CONFIG,
        WEIGHTS,
        "https://huggingface.co/me/other",
        "--model FOLDER",
        str(tmp_path),
    ):
        assert part in said


def test_local_files_only_and_revision(tmp_path, saved, monkeypatch):
    from huggingface_hub import constants

    _, folder = saved
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    cached(tmp_path, "me/tiny", folder, "b" * 40, "v1")
    found = fetch("me/tiny", revision="v1", local_files_only=True)
    assert segue.load(found).name == NAME
    with pytest.raises(DownloadError, match=r"at v2: .*local_files_only"):
        fetch("me/tiny", revision="v2", local_files_only=True)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (errors.GatedRepoError, "accepted first"),
        (errors.RepositoryNotFoundError, "no such repository"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.LocalEntryNotFoundError, "cannot be reached"),
        (TimeoutError, "TimeoutError"),
    ],
)
def test_a_failed_download_says_why_and_what_to_place(kind, said, monkeypatch):
    import huggingface_hub

    def refuse(*_, **__):
        error = kind.__new__(kind)
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(DownloadError, match=said) as caught:
        fetch("me/tiny")
    assert WEIGHTS in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_download_names_every_file_of_that_model():
    with pytest.raises(DownloadError, match=r"config\.json, model\.safetensors, vocab\.json and merges\.txt from http"):
        segue.load("clipseg-rd64", local_files_only=True, revision="no-such")


def test_a_full_disk_is_no_download_error(monkeypatch):
    import huggingface_hub

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(StorageError, match="no room"):
        fetch("me/tiny")


def test_a_folder_without_weights_is_explained(tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps({"library": "segue", "segue_model": NAME, "config": {}}))
    with pytest.raises(segue.SegueError, match=WEIGHTS):
        segue.load(tmp_path)
    assert Path(tmp_path / CONFIG).exists()
