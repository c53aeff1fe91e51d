import numpy as np
import PIL.Image

from segue.data.formats.registry import open_data


def test_128_is_void_and_only_brighter_is_object(tmp_path):
    for name in ("data_GT", "boundary_GT"):
        (tmp_path / name).mkdir()
    PIL.Image.new("RGB", (4, 1), "red").save(tmp_path / "data_GT" / "a.jpg")
    PIL.Image.fromarray(np.array([[0, 64, 128, 255]], np.uint8)).save(tmp_path / "boundary_GT" / "a.png")
    (sample,) = open_data(tmp_path).samples
    _, target = sample.read()
    assert target.annotations[0].mask.tolist() == [[False, False, False, True]]
    assert target.ignore_mask.tolist() == [[False, False, True, False]]


def test_the_benchmark_has_fifty_objects(shared):
    data = open_data(shared / "data" / "evaluate" / "GrabCut")
    assert (data.format, len(data.samples)) == ("grabcut", 50)
    image, target = data.samples[0].read()
    assert len(target.annotations) == 1
    assert target.annotations[0].mask.shape == image.shape[:2]
