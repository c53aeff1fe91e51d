"""Every study can be filled: its models are there, its measures give its figures, its data sets have names."""

import pytest

from segue.adapters.registry import ADAPTERS
from segue.jobs.evaluate import EvaluateConfig
from segue.jobs.studies.clicks import by_clicks, by_cost
from segue.jobs.studies.registry import STUDIES
from segue.models.registry import MODELS


@pytest.mark.parametrize("name", list(STUDIES))
def test_a_study_names_what_there_is(name):
    study = STUDIES.load(name)
    assert len(name.split()) == 2
    assert study.source
    assert len({column.name for column in study.columns}) == len(study.columns)
    assert len({row.label for row in study.rows}) == len(study.rows)
    assert any(row.model for row in study.rows)
    for row in study.rows:
        assert not row.model or row.model in MODELS or "/" in row.model
        assert "adapter" not in row.settings or row.settings["adapter"] in ADAPTERS
        if any(column.measure is by_clicks for column in study.columns):
            assert set(row.settings) <= {*EvaluateConfig.model_fields, "side"}


def test_published_values_are_in_the_range_of_their_figure():
    for name in STUDIES:
        study = STUDIES.load(name)
        for row in study.rows:
            for column, value in zip(study.columns, row.published, strict=True):
                if value is not None and column.measure is by_clicks:
                    assert 1 <= value <= (20 if "NoC" in column.figure else 100), (name, row.label, column.name)
                    assert column.data
                if column.measure is by_cost:
                    assert column.weightless
                    assert not column.data
