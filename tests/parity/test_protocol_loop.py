"""The robot playing on a session chooses every click of the official evaluation loop by itself."""

import numpy as np
import pytest

from segue.session.robot import play
from segue.session.session import Session
from tests.parity.test_zoom import fixture, wrap

__all__ = ["fixture"]


@pytest.mark.parametrize("name", ["simpleclick", "ritm", "plain"])
def test_the_robot_plays_the_official_game(fixture, name):
    config, io = fixture
    loop, gt = config["loop"], io["loop.gt"].numpy()
    session = Session(wrap(loop["cases"][name]["spec"]), io["loop.image"].numpy())
    course = play(session, gt == 1, gt == -1, max_clicks=loop["n_clicks"], threshold=loop["pred_thr"])
    assert [[c.y, c.x, int(c.positive)] for c in course.clicks] == io[f"loop.{name}.clicks"].tolist()
    np.testing.assert_allclose(course.ious, io[f"loop.{name}.ious"], atol=1e-6)
