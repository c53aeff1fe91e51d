"""``segue mask``: one photograph and its mask, or many."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

from pydantic import Field

from segue.cli.options import JobCommand
from segue.cli.show import show_result, show_rows
from segue.core.errors import ConfigError, MissingFile
from segue.jobs.mask import MaskConfig, MaskResult, mask
from segue.jobs.masks import MasksConfig, MasksResult, masks


class _MaskCommand(MasksConfig):
    output: Annotated[Path, Field(description="The mask, a PNG of 0 and 255; a folder for several images.")]
    overlay: Annotated[Path | None, Field(description="Also write the mask drawn on the photo.")] = None
    cutout: Annotated[Path | None, Field(description="Also write the object alone, a PNG with transparency.")] = None


def _run(config: _MaskCommand) -> MaskResult | MasksResult:
    given = {name: getattr(config, name) for name in config.model_fields_set}
    several = config.prompts_file or config.to or len(config.image) != 1 or Path(config.image[0]).is_dir()
    if not several and not Path(config.image[0]).exists() and not glob.has_magic(config.image[0]):
        # before the output is looked at, which is a file or a folder as the image is
        raise MissingFile(
            f"the path {config.image[0]}, which is not there", "an image or a folder", "check the spelling"
        )
    if not several and Path(config.image[0]).exists():
        single = {name: value for name, value in given.items() if name in MaskConfig.model_fields}
        return mask(MaskConfig.from_fields(**single | {"image": config.image[0]}))
    for name in ("overlay", "cutout"):
        if given.pop(name, None) is not None:
            raise ConfigError(f"--{name} for several images", "one image and its mask", f"leave --{name} out")
    return masks(MasksConfig.from_fields(**given))


def _show(result: MaskResult | MasksResult) -> None:
    if isinstance(result, MasksResult):
        rows = [(str(o.image), o.object, f"{o.area} pixels", f"{o.score:.2f}", str(o.mask)) for o in result.objects]
        show_rows(("image", "object", "area", "score", "mask"), rows)
    show_result(result)


command = JobCommand(_MaskCommand, _run, _show)
