"""What ``segue evaluate`` measures: its JSON, typed."""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict, Field

from segue.core.errors import ConfigError, DataError
from segue.core.failures import Failure
from segue.core.files import read_json
from segue.session.config import JobResult


class ObjectTrace(JobResult):
    """One object under the robot's clicks: qualities after each of ``clicks`` (x, y, positive); ``area`` in pixels,
    ``size`` (height, width) of its image, ``seed`` of perturbed clicks."""

    id: str
    image: str
    area: int
    size: tuple[int, int]
    ious: tuple[float, ...]
    boundary_ious: tuple[float, ...]
    clicks: tuple[tuple[int | float, int | float, bool], ...]
    seed: int | None = None


class MeasuredObject(ObjectTrace):
    """The same with seconds of reading, encoding and each click, the pixels that the model sees, and the masks after
    the ``first`` click and the ``last`` that counts, as run lengths."""

    read: float
    encode: float
    seconds: tuple[float, ...]
    pixels: int
    first: str
    last: str


class EvaluateSeconds(JobResult):
    """Seconds per image and click: ``spc`` counts reading, encoding and clicking as published, ``pie`` is ``spc`` for
    each pixel that the model sees; medians and the 95th percentile of the parts."""

    encode_p50: float
    click_p50: float
    click_p95: float
    spc: float
    pie: float


class OverSeeds(JobResult):
    """NoC over the seeds of perturbed clicks: mean, standard deviation (None for one seed), and each."""

    mean: float
    spread: float | None
    each: tuple[float, ...]
    seeds: tuple[int, ...]


class FirstClicks(JobResult):
    """Mean clicks to an IoU of ``target`` by the (row, column) of the first click in an object's box, None where no
    object has a pixel, and how many ``objects`` have one there."""

    target: float
    noc: tuple[tuple[float | None, ...], ...]
    objects: tuple[tuple[int, ...], ...]


class RandomClickCurve(JobResult):
    """mbIoU when so many ``clicks`` positive and as many negative ones are given at once at random places, mean over
    ``seeds``."""

    clicks: tuple[int, ...]
    mbiou: tuple[float, ...]
    seeds: tuple[int, ...]


class EvaluateResult(JobResult):
    """What ``segue evaluate`` measured; ``noc``, ``nof``, ``rof``, ``unreached`` and ``noc_boundary`` by target,
    ``miou_at`` and ``mbiou_at`` after each click; ``rule`` says in words at which threshold, in which view and with
    which refiner; ``losses`` are what the reader left out, by reason, and ``failed`` the images that do not read."""

    model_config = ConfigDict(extra="ignore")

    model: str
    adapter: Path | None = None
    data: Path
    format: str
    view: str = "own"
    refiner: str | None = None
    threshold: float = 0.49
    zoom_size: int | None = None
    rule: str = ""
    initial: str | None = None
    clicks: str = "center"
    stop_at_target: bool = False
    objects: int
    max_clicks: int
    noc: dict[str, float]
    nof: dict[str, int]
    rof: dict[str, float]
    unreached: dict[str, int] = Field(default_factory=dict)
    noc_boundary: dict[str, float]
    miou_at: tuple[float, ...]
    mbiou_at: tuple[float, ...]
    seconds: EvaluateSeconds
    noc_over_seeds: dict[str, OverSeeds] | None = None
    first_clicks: FirstClicks | None = None
    random_clicks: RandomClickCurve | None = None
    losses: dict[str, int] = Field(default_factory=dict)
    per_object: tuple[ObjectTrace, ...]
    failed: tuple[Failure, ...] = ()


def read_result(path: Path) -> EvaluateResult:
    """The JSON of an earlier ``segue evaluate``. Raises ``DataError`` for anything else.

    >>> read_result(Path("/no/such/file.json"))
    Traceback (most recent call last):
    segue.core.errors.DataError: got /no/such/file.json; expected the JSON that segue evaluate wrote
    """
    try:
        return EvaluateResult.from_json(read_json(path))
    except (OSError, ValueError, ConfigError) as error:
        raise DataError(f"{path}", "the JSON that segue evaluate wrote") from error
