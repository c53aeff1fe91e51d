"""A clone without the shared folder checks parity on the fixtures that it holds."""

from tests.parity import folders


class Options:
    """What pytest's configuration gives."""

    def __init__(self, given):
        self.given = given

    def getoption(self, name):
        assert name == "--parity-fixtures"
        return self.given


def test_without_the_shared_folder_the_shipped_fixtures_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "SHARED", tmp_path / "absent")
    found = {path.name for path in folders.folders_where(Options(None), lambda config: True)}
    assert found == {"clicker-protocol", "interformer-clickmap", "metrics-extra"}
    root = folders.fixtures_root(Options(None))
    assert (root / "tables.json").is_file()
    assert all((root / name / "io.safetensors").stat().st_size > 300_000 for name in found)


def test_a_folder_that_is_given_comes_first(tmp_path):
    assert folders.fixtures_root(Options(str(tmp_path))) == tmp_path


def test_the_shipped_fixtures_stay_small():
    assert sum(path.stat().st_size for path in folders.SHIPPED.rglob("*") if path.is_file()) < 600_000
