"""The documentation as a site: it builds without a warning, and its made pages name every key and public name."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import segue
from segue.cli import COMMANDS, command
from segue.models.registry import MODELS
from segue.training.config import OptimizerConfig, TrainConfig
from segue.training.recipe_config import RecipeSource

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_option_is_in_the_made_reference(hooks: ModuleType) -> None:
    page = hooks.options_page()
    for name in COMMANDS:
        section = page.partition(f"## segue {name}\n")[2].partition("\n## ")[0]
        for parameter in command(name).params:
            if parameter.name not in ("help", "debug", "json"):
                assert f"`{max(parameter.opts, key=len)}`" in section


def test_every_training_key_is_in_the_made_reference(hooks: ModuleType) -> None:
    page = hooks.training_page()
    for config, heading in ((TrainConfig, "The file"), (OptimizerConfig, "optimizer"), (RecipeSource, "crops.sources")):
        section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        assert [key for key in config.model_fields if f"| `{key}` |" not in section] == []


def test_every_public_name_and_model_is_in_the_made_pages(hooks: ModuleType) -> None:
    assert [name for name in segue.__all__ if f".{name}\n" not in hooks.python_page()] == []
    assert [name for name in MODELS if f"| `{name}` |" not in hooks.models_table()] == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("needs the extra docs (mkdocs-material, mkdocstrings)")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = (tmp_path / "reference" / "python" / "index.html").read_text()
    assert "segue.jobs.mask.mask" in shown
    assert "effective_batch" in (tmp_path / "reference" / "training" / "index.html").read_text()
