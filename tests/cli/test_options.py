"""Options made from a configuration: a field is an option of the same name, and a file holds the same keys."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from segue.cli.options import JobCommand
from segue.core.errors import ConfigError, MissingFile
from segue.session.config import CommandLine, JobConfig, JobResult, Points


class PaintConfig(JobConfig):
    photo: Annotated[Path, Field(description="The photo."), CommandLine(positional=True)]
    output: Annotated[Path, Field(description="The file to write.")]
    click: Annotated[Points, Field(description="Where.")] = ()
    ratio: Annotated[tuple[float, ...], Field(description="Ratios.")] = (0.5,)
    kind: Annotated[Literal["oil", "chalk"], Field(description="The paint.")] = "oil"
    frame: Annotated[bool, Field(description="Draw a frame.")] = True
    dry: Annotated[bool, Field(description="Let it dry.")] = False
    layers: Annotated[int | None, Field(description="Layers.", ge=1)] = None
    settings: Annotated[dict[str, Any], Field(description="The paint's own.", default_factory=dict)]
    ignore_values: Annotated[
        tuple[int, ...] | None, Field(description="Never painted."), CommandLine(names=("--ignore-values", "--void"))
    ] = None
    secret: Annotated[int, Field(description="In files alone."), CommandLine(hidden=True)] = 0


class PaintResult(JobResult):
    config: PaintConfig


def painted(*words: str) -> dict[str, Any]:
    seen: list[PaintConfig] = []
    command = JobCommand(PaintConfig, lambda config: seen.append(config)).build("paint", "Paint.")
    command.main([*words], prog_name="paint", standalone_mode=False)
    return seen[0].model_dump(exclude_unset=True)


def test_a_field_is_an_option_of_its_name() -> None:
    words = ["a.png", "-o", "b.png", "--click", "1,2", "--click", "3.5,4", "--kind", "chalk", "--layers", "2"]
    words += ["--no-frame", "--dry", "--settings", "width=32", "--settings", "thick=true"]
    assert painted(*words) == {
        "photo": Path("a.png"),
        "output": Path("b.png"),
        "click": ((1, 2), (3.5, 4)),
        "kind": "chalk",
        "layers": 2,
        "frame": False,
        "dry": True,
        "settings": {"width": 32, "thick": True},
    }


def test_only_what_is_said_is_passed_on() -> None:
    assert set(painted("a.png", "--output", "b.png")) == {"photo", "output"}


def test_numbers_may_follow_one_name() -> None:
    assert painted("a.png", "--ratio", "0.1", "0.2", "--ratio=0.3", "-o", "b.png")["ratio"] == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("name", ["--ignore-values", "--void"])
def test_a_field_may_have_several_spellings(name: str) -> None:
    assert painted("a.png", "-o", "b.png", name, "255", "0")["ignore_values"] == (255, 0)


def test_a_file_holds_the_same_keys_and_the_command_line_goes_first(tmp_path: Path) -> None:
    file = tmp_path / "paint.yaml"
    file.write_text("photo: a.png\noutput: b.png\nkind: chalk\nclick: [[1, 2]]\nsecret: 7\n")
    values = painted("--config", str(file), "--kind", "oil")
    assert values["kind"] == "oil"
    assert values["click"] == ((1, 2),)
    assert values["secret"] == 7
    file.write_text("photo: a.png\nkinds: chalk\n")
    with pytest.raises(ConfigError, match="Did you mean 'kind'"):
        painted("--config", str(file))


@pytest.mark.parametrize(
    "words", [[], ["a.png"], ["a.png", "-o", "b", "--click", "1"], ["a.png", "-o", "b", "--kind", "ink"]]
)
def test_wrong_usage_is_status_2(words: list[str]) -> None:
    command = JobCommand(PaintConfig, lambda config: None).build("paint", "Paint.")
    with pytest.raises(SystemExit, match="2"):
        command.main(words, prog_name="paint")


def test_json_is_the_results_own(tmp_path: Path) -> None:
    command = JobCommand(PaintConfig, lambda config: PaintResult(config=config)).build("paint", "Paint.")
    command.main(["a.png", "-o", "b.png", "--json", str(tmp_path / "r.json")], standalone_mode=False)
    assert json.loads((tmp_path / "r.json").read_text())["config"]["photo"] == "a.png"


def test_a_configuration_reads_files_from_python_too(tmp_path: Path) -> None:
    (tmp_path / "paint.yaml").write_text("photo: a.png\noutput: b.png\n")
    assert PaintConfig.from_file(tmp_path / "paint.yaml", kind="chalk").kind == "chalk"
    with pytest.raises(MissingFile, match=r"none\.yaml"):
        PaintConfig.from_file(tmp_path / "none.yaml")
