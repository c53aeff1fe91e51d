import numpy as np
import pytest
import tifffile

from segue.core.errors import ConfigError
from segue.jobs import mask as module
from segue.jobs.mask import MaskConfig, mask


def test_a_tiff_beyond_the_limit_is_segmented_in_a_window(tmp_path, monkeypatch):
    image = np.full((1500, 2000, 3), 40, np.uint8)
    image[700:800, 900:1050] = (220, 40, 40)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", tile=(256, 256))
    monkeypatch.setattr(module, "MAX_PIXELS", 1_000_000)
    config = {"image": tmp_path / "a.tif", "click": ((970, 750),)}
    done = mask(MaskConfig(**config, output=tmp_path / "m.tif", overlay=tmp_path / "o.png"))
    assert done.size == (1500, 2000)
    x0, y0, x1, y1 = done.window
    assert (x1 - x0, y1 - y0) == (1024, 1024)
    written = tifffile.imread(tmp_path / "m.tif")
    assert written.shape == (1500, 2000)
    assert int((written > 0).sum()) == done.area
    assert written[750, 970] == 255
    assert (tmp_path / "o.png").exists()
    with pytest.raises(ConfigError, match=r"\.tif"):
        mask(MaskConfig(**config, output=tmp_path / "m.png"))
