"""Write ``nanodet_golden.npz``: what ncnn itself computes from the published NanoDet-m on a bundled photo.

In an environment of its own (``pip install ncnn numpy pillow``), from the repository's root:

    python tests/nn/make_nanodet_golden.py ../shared/weights_init/nanodet-m.param

At each stride it keeps the shape, mean and deviation of the map and 48 values at random places. ncnn computes in
single precision here, so that it differs from others by rounding only.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
BLOBS = {2: "424", 4: "425", 8: "492", 16: "623", 32: "690"}  # the outputs of stem, pooling and stages
MEAN, STD = np.float32([103.53, 116.28, 123.675]), np.float32([57.375, 57.12, 58.395])


def main(param: Path) -> None:
    import ncnn  # no dependency of segue's, not even of its tests

    net = ncnn.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, option, False)
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))
    photo = np.asarray(Image.open(HERE.parents[1] / "src" / "segue" / "samples" / "cat.jpg").convert("RGB"))
    pixels = (photo[:256, :320, ::-1].astype(np.float32) - MEAN) / STD
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))  # ncnn looks at this memory, it takes no copy
    extractor = net.create_extractor()
    extractor.input("input.1", ncnn.Mat(planes))
    rng, golden = np.random.default_rng(0), {}
    for stride, blob in BLOBS.items():
        values = np.array(extractor.extract(blob)[1])
        places = np.stack([rng.integers(0, side, 48) for side in values.shape])
        golden[f"places{stride}"] = places.astype(np.int16)
        golden[f"values{stride}"] = values[tuple(places)]
        golden[f"summary{stride}"] = np.array([*values.shape, values.mean(), values.std()], np.float32)
    np.savez_compressed(HERE / "nanodet_golden.npz", **golden)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
