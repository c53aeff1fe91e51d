"""The feature cache: hits are exact, everything else is a miss, and nothing is ever half written."""

import multiprocessing
import os
import time

import numpy as np
import pytest
import torch

from segue.core.errors import ConfigError, InputError, StorageError
from segue.core.types import Click, Features
from segue.models.interformer.model import InterFormer
from segue.models.interformer.registry import TINY
from segue.session.cache import FeatureCache
from segue.session.session import Session


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return InterFormer(**TINY).eval()


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)


def encoded(model, image):
    return model.encode([image])


def entries(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_a_hit_is_bit_for_bit_what_was_put(model, tmp_path):
    cache, image = FeatureCache(tmp_path), picture()
    assert cache.get(model, image) is None
    features = encoded(model, image)
    cache.put(model, image, features)
    found = FeatureCache(tmp_path).get(model, image)
    assert found.frames == features.frames
    assert found.maps.keys() == features.maps.keys()
    assert all(np.array_equal(found.maps[name], value) for name, value in features.maps.items())


def test_a_session_encodes_once_for_all(model, tmp_path, monkeypatch):
    cache, image = FeatureCache(tmp_path), picture()
    first = Session(model, image, cache).add(Click(10, 10))
    monkeypatch.setattr(InterFormer, "encode", lambda *_: pytest.fail("encoded again"))
    assert np.array_equal(Session(model, image, FeatureCache(tmp_path)).add(Click(10, 10)), first)


def test_every_cause_is_in_the_key(model, tmp_path):
    cache, image = FeatureCache(tmp_path), picture()
    key = cache.key(model, image)
    brighter = image.copy()
    brighter[0, 0, 0] ^= 1
    assert cache.key(model, brighter) != key
    assert cache.key(model, image, model.frame((40, 50)).flipped()) != key
    assert FeatureCache(tmp_path / "half", half=True).key(model, image) != key
    smaller = InterFormer(**TINY | {"longest": 32}).eval()
    smaller.load_state_dict(model.state_dict())
    assert cache.key(smaller, image) != key
    with torch.no_grad():
        weight = model.net.backbone.layers[0].ln1.weight
        weight[0] += 1
        assert cache.key(model, image) != key, "a changed weight is noticed although the fingerprint is kept"
        weight[0] -= 1
    assert cache.key(model, image) == key


def test_an_exchanged_module_is_noticed(model, tmp_path):
    cache, image = FeatureCache(tmp_path), picture()
    key, norm = cache.key(model, image), model.net.neck.norm0
    model.net.neck.norm0 = torch.nn.Sequential(norm)
    try:
        assert cache.key(model, image) != key
    finally:
        model.net.neck.norm0 = norm


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped bit", "text", "damaged frame"])
def test_a_damaged_entry_is_a_miss_and_is_replaced(model, tmp_path, damage):
    cache, image = FeatureCache(tmp_path), picture()
    features = encoded(model, image)
    cache.put(model, image, features)
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flipped bit":
        content[-3] ^= 4
    elif damage == "damaged frame":
        content = content.replace(b"[40, 50", b"[99, 50")
    path.write_bytes({"truncated": content[:-10], "empty": b"", "text": b"hello"}.get(damage, content))
    fresh = FeatureCache(tmp_path)
    assert fresh.get(model, image) is None
    assert fresh.counts.damaged == 1
    fresh.put(model, image, features)
    assert fresh.get(model, image) is not None


def test_half_precision_halves_the_bytes_and_is_remembered_by_the_folder(model, tmp_path):
    image = picture()
    full, half = FeatureCache(tmp_path / "full"), FeatureCache(tmp_path / "half", half=True)
    features = encoded(model, image)
    for cache in (full, half):
        cache.put(model, image, features)
    assert half.size()[1] < 0.6 * full.size()[1]
    found = FeatureCache(tmp_path / "half").get(model, image)
    for name, value in features.maps.items():
        assert found.maps[name].dtype == np.float32
        assert np.allclose(found.maps[name], value, rtol=1e-3, atol=1e-4)


def test_what_half_precision_cannot_hold_stays_whole(model, tmp_path):
    cache, image = FeatureCache(tmp_path, half=True), picture()
    features = encoded(model, image)
    maps = dict(features.maps) | {"stride4": features.maps["stride4"] * 0 + 1e6}
    cache.put(model, image, Features(maps, features.frames))
    assert cache.get(model, image).maps["stride4"].max() == 1e6


def test_the_least_recently_used_go_first(model, tmp_path):
    images = [picture(i) for i in range(6)]
    size = FeatureCache(tmp_path / "one").write("0" * 64, encoded(model, images[0]))
    cache = FeatureCache(tmp_path / "many", limit=int(4.5 * size))
    for i, image in enumerate(images[:4]):
        cache.put(model, image, encoded(model, image))
        os.utime(cache._path(cache.key(model, image)), (1000 + i, 1000 + i))
    assert cache.get(model, images[0]) is not None  # now the most recently used
    cache.put(model, images[4], encoded(model, images[4]))
    there = [cache.key(model, image) in cache for image in images[:5]]
    assert there == [True, False, there[2], True, True]
    assert cache.size()[1] <= cache.limit
    assert cache.counts.evicted >= 1


def test_any_fsspec_url_will_do(model):
    cache, image = FeatureCache("memory://somewhere/else", half=True), picture()
    cache.put(model, image, encoded(model, image))
    assert FeatureCache("memory://somewhere/else").get(model, image) is not None
    assert FeatureCache("memory://somewhere/else").size()[0] == 1


def test_a_write_that_fails_leaves_nothing_behind(model, tmp_path, monkeypatch):
    cache, image = FeatureCache(tmp_path), picture()
    features = encoded(model, image)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        cache.put(model, image, features)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_decoder_alone_reads_what_the_whole_model_wrote(model, tmp_path):
    image = picture()
    cache = FeatureCache(tmp_path, half=True)
    cache.put(model, image, encoded(model, image))
    alone = model.without_encoder().eval()
    session = Session(alone, image, FeatureCache(tmp_path))
    assert session.add(Click(10, 10)).shape == (40, 50)
    with pytest.raises(InputError, match="decoder alone"):
        Session(alone, picture(1), FeatureCache(tmp_path)).add(Click(1, 1))


def test_wrong_uses_are_named(model, tmp_path):
    with pytest.raises(ConfigError, match="positive"):
        FeatureCache(tmp_path, limit=0)
    (tmp_path / "cache.json").write_text("[]")
    with pytest.raises(ConfigError, match="settings"):
        FeatureCache(tmp_path)
    two = encoded(model, picture())
    two = Features(two.maps, two.frames * 2)
    with pytest.raises(InputError, match="split"):
        FeatureCache("memory://x").put(model, picture(), two)


def hammer(folder, seed, problems):
    """One of several processes that write, read and evict the same few entries."""
    torch.set_num_threads(1)
    maps = {"x": np.full((1, 2000), 7.0, np.float32)}
    frame = InterFormer(**TINY).frame((40, 50))
    cache = FeatureCache(folder, limit=40_000)
    rng = np.random.default_rng(seed)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        key = f"{rng.integers(0, 8):064d}"
        if rng.random() < 0.5:
            cache.write(key, Features(maps, (frame,)))
        else:
            found = cache.read(key)
            if found is not None and not np.array_equal(found.maps["x"], maps["x"]):
                problems.put("wrong content")
    if cache.counts.damaged:
        problems.put("saw a damaged entry")


def test_processes_share_one_cache_safely(tmp_path):
    context = multiprocessing.get_context("fork")
    problems = context.Queue()
    workers = [context.Process(target=hammer, args=(str(tmp_path), seed, problems)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert problems.empty(), problems.get()
    assert list(tmp_path.rglob("*.tmp")) == []
