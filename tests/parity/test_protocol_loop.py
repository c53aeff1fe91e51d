"""The robot playing on a session chooses every click of the official evaluation loop by itself."""

import numpy as np

from segue.evaluation.robot import simulate_clicks
from segue.session.session import Session
from tests.parity.test_zoom import fixture, wrap

__all__ = ["fixture"]


def test_the_robot_plays_the_official_games(fixture):
    config, io = fixture
    loop, gt = config["loop"], io["loop.gt"].numpy()
    assert loop["cases"]
    for name, case in loop["cases"].items():
        session = Session(wrap(case["spec"]), io["loop.image"].numpy())
        course = simulate_clicks(session, gt == 1, gt == -1, max_clicks=loop["n_clicks"], threshold=loop["pred_thr"])
        clicks = [[c.y, c.x, int(c.positive)] for c in course.clicks]
        assert clicks == io[f"loop.{name}.clicks"].tolist(), name
        np.testing.assert_allclose(course.ious, io[f"loop.{name}.ious"], atol=1e-6, err_msg=name)
