import pytest

from segue.core.errors import MissingFile
from segue.jobs.studies.places import Places, find_adapter, find_data, find_weights
from segue.jobs.studies.table import Row


def test_one_by_one_goes_before_the_folder(tmp_path):
    for name in ("all/SBD", "mine"):
        (tmp_path / name).mkdir(parents=True)
    places = Places([str(tmp_path / "all"), f"sbd={tmp_path / 'mine'}"])
    assert find_data(places, "SBD") == tmp_path / "mine"
    assert find_data(Places([str(tmp_path / "all")]), "SBD") == tmp_path / "all" / "SBD"
    with pytest.raises(MissingFile, match="no data GrabCut"):
        find_data(places, "GrabCut")
    assert find_data(places, "") is None


def test_weights_have_their_published_name_and_costs_need_none(tmp_path):
    file = tmp_path / "sbd_vit_base.pth"
    file.touch()
    row = Row("ViT-B", (), "simpleclick-base", file.name)
    assert find_weights(Places([str(tmp_path)]), row, weightless=False) == file
    assert find_weights(Places([]), row, weightless=True) == "random"
    assert find_weights(Places([]), Row("own", (), "nano"), weightless=True) is None
    with pytest.raises(MissingFile, match="no weights sbd_vit_base"):
        find_weights(Places([]), row, weightless=False)


def test_an_adapter_is_a_folder_among_the_weights(tmp_path):
    (tmp_path / "lora-500").mkdir()
    row = Row("LoRA", (), "simpleclick-base", adapter="lora-500")
    assert find_adapter(Places([str(tmp_path)]), row) == tmp_path / "lora-500"
    with pytest.raises(MissingFile, match="no adapter lora-500"):
        find_adapter(Places([]), row)


def test_a_place_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(MissingFile, match="nowhere"):
        Places([str(tmp_path / "nowhere")])
