"""``segue encode``: resumes after a kill, skips what is there, names what it cannot read, and spreads over Ray."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.core.errors import DataError, InputError
from segue.core.types import Click
from segue.data.io.image import write_image
from segue.jobs.encode import EncodeConfig, encode
from segue.models.interformer.registry import TINY
from segue.models.pretrained import save_pretrained
from segue.session import encoding
from segue.session.cache import FeatureCache
from segue.session.encoding import encode_paths
from segue.session.load import build, load
from segue.session.session import Session


@pytest.fixture(autouse=True)
def own_journals(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build("interformer-light", TINY).eval()


def photos(folder, count, size=(40, 56)):
    rng = np.random.default_rng(0)
    for i in range(count):
        write_image(folder / f"{i:03d}.png", rng.integers(0, 255, (*size, 3), dtype=np.uint8))
    return folder


def entries(cache):
    return {path.name: path.stat().st_mtime_ns for path in Path(cache).rglob("*.safetensors")}


def test_every_image_is_encoded_once_and_then_found(model, tmp_path):
    folder = photos(tmp_path / "photos", 5)
    config = EncodeConfig(images=[str(folder)], cache=str(tmp_path / "cache"), batch=2)
    first = encode(config, model)
    before = entries(tmp_path / "cache")
    second = encode(config, model)
    assert (first.images, first.encoded, first.there) == (5, 5, 0)
    assert (second.encoded, second.there, second.hit_ratio) == (0, 5, 1.0)
    assert entries(tmp_path / "cache") == before
    assert first.bytes_per_image * 5 == pytest.approx(first.bytes, abs=5)


def test_known_images_are_not_even_read(model, tmp_path, monkeypatch):
    folder = photos(tmp_path / "photos", 3)
    config = EncodeConfig(images=[str(folder)], cache=str(tmp_path / "cache"))
    encode(config, model)
    monkeypatch.setattr(encoding, "read_image", lambda path: pytest.fail(f"read {path}"))
    assert encode(config, model).there == 3


def test_a_changed_photo_is_encoded_again(model, tmp_path):
    folder = photos(tmp_path / "photos", 2)
    config = EncodeConfig(images=[str(folder)], cache=str(tmp_path / "cache"))
    encode(config, model)
    write_image(folder / "000.png", np.zeros((40, 56, 3), np.uint8))
    again = encode(config, model)
    assert (again.encoded, again.there) == (1, 1)


def test_unreadable_images_are_named_at_the_end(model, tmp_path):
    folder = photos(tmp_path / "photos", 3)
    (folder / "aaa.jpg").write_text("no image")
    (folder / "bbb.png").write_bytes((folder / "000.png").read_bytes()[:50])
    done = encode(EncodeConfig(images=[str(folder)], cache=str(tmp_path / "cache")), model)
    assert done.encoded == 3
    assert sorted(Path(row.item).name for row in done.failed) == ["aaa.jpg", "bbb.png"]
    assert all(row.reason for row in done.failed)
    with pytest.raises(DataError, match="none could be read"):
        encode(EncodeConfig(images=[str(folder / "aaa.jpg")], cache=str(tmp_path / "cache")), model)


def test_batches_hold_one_grid_and_equal_single_images(model, tmp_path):
    folder = photos(tmp_path / "photos", 3)
    photos(tmp_path / "more", 3, (70, 40))
    paths = [str(p) for p in (*sorted(folder.iterdir()), *sorted((tmp_path / "more").iterdir()))]
    many, one = FeatureCache(tmp_path / "many"), FeatureCache(tmp_path / "one")
    done = list(encode_paths(model, many, paths, batch=2, readers=3))
    assert sorted(d.path for d in done) == sorted(paths)
    for d in encode_paths(model, one, paths, batch=1, readers=1):
        a, b = many.read(d.key), one.read(d.key)
        assert a.frames == b.frames
        assert all(np.allclose(a.maps[name], b.maps[name], rtol=1e-5, atol=1e-5) for name in a.maps)


def test_the_decoder_written_beside_answers_from_the_cache(model, tmp_path):
    folder = photos(tmp_path / "photos", 1)
    config = EncodeConfig(images=[str(folder)], cache=str(tmp_path / "cache"), half=True, decoder=tmp_path / "decoder")
    encode(config, model)
    alone = load(tmp_path / "decoder", device="cpu")
    from segue.data.io.image import read_image

    image = read_image(folder / "000.png")
    session = Session(alone, image, FeatureCache(tmp_path / "cache"))
    expected = Session(model, image)
    assert (session.add(Click(20, 20)) == expected.add(Click(20, 20))).mean() > 0.99
    with pytest.raises(InputError, match="interformer"):
        encode(config.model_copy(update={"decoder": tmp_path / "x"}), build("simpleclick-xtiny", SIMPLECLICK).eval())


SIMPLECLICK = {"img_size": (64, 64), "embed_dim": 16, "depth": 4, "num_heads": 2, "out_dims": (8, 8, 8, 8)}


def test_any_model_can_be_encoded(tmp_path):
    folder = photos(tmp_path / "photos", 2)
    config = EncodeConfig(images=[str(folder)], cache=str(tmp_path / "cache"))
    assert encode(config, build("simpleclick-xtiny", SIMPLECLICK).eval()).encoded == 2


COMMAND = "import sys; from segue.cli import main; sys.exit(main(sys.argv[1:]))"


def test_a_killed_run_goes_on_where_it_stopped(model, tmp_path):
    folder, cache = photos(tmp_path / "photos", 30, (300, 400)), tmp_path / "cache"
    save_pretrained(model, tmp_path / "model")
    arguments = ["encode", str(folder), "--cache", str(cache), "--model", str(tmp_path / "model"), "--device", "cpu"]
    environment = os.environ | {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-c", COMMAND, *arguments]
    with subprocess.Popen(run, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while len(entries(cache)) < 5 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    survived = entries(cache)
    assert 5 <= len(survived) < 30, "the kill came in the middle"
    again = subprocess.run([*run, "--json", "-"], env=environment, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stderr
    done = json.loads(again.stdout)
    assert done["encoded"] + done["there"] == 30
    assert done["there"] >= 5
    finished = entries(cache)
    assert len(finished) == 30
    assert {name: finished[name] for name in survived} == survived, "what was finished was not done again"


@pytest.mark.slow
def test_ray_survives_a_killed_worker(model, tmp_path):
    pytest.importorskip("ray")
    psutil = pytest.importorskip("psutil")
    folder, cache = photos(tmp_path / "photos", 40, (300, 400)), tmp_path / "cache"
    config = EncodeConfig(images=[str(folder)], cache=str(cache), engine="ray", workers=2, chunk=10, half=True)
    result = {}
    work = threading.Thread(target=lambda: result.update(encode(config, model).to_json()))
    work.start()
    deadline = time.monotonic() + 200
    while len(entries(cache)) < 3 and work.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    busy = [p for p in psutil.process_iter(["cmdline"]) if "ray::encode_chunk" in " ".join(p.info["cmdline"] or [])]
    assert busy, "a worker was at work"
    survived = entries(cache)
    busy[0].kill()
    work.join(250)
    assert not work.is_alive()
    assert result["encoded"] + result["there"] == 40, "nothing lost"
    assert len(entries(cache)) == 40
    finished = entries(cache)
    assert {name: finished[name] for name in survived} == survived, "nothing done twice"


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["the node", "Ray's own process"])
def test_a_ray_that_dies_as_a_whole_is_one_clear_line(victim, model, tmp_path):
    pytest.importorskip("ray")
    psutil = pytest.importorskip("psutil")
    folder, cache = photos(tmp_path / "photos", 40, (300, 400)), tmp_path / "cache"
    save_pretrained(model, tmp_path / "model")
    arguments = ["encode", str(folder), "--cache", str(cache), "--model", str(tmp_path / "model"), "--device", "cpu"]
    run = [sys.executable, "-c", COMMAND, *arguments]
    ray_run = [*run, "--engine", "ray", "--chunk", "10"]
    with subprocess.Popen(ray_run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 200
        while len(entries(cache)) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        (driver,) = psutil.Process(process.pid).children()
        (node,) = [p for p in driver.children() if p.name() == "raylet"]
        rays = driver.children(recursive=True)
        (node if victim == "the node" else driver).kill()
        _, said = process.communicate(timeout=200)
    psutil.wait_procs(rays, timeout=60)  # a worker may finish an image after its driver's death
    assert process.returncode == 1, said
    assert "got Ray's" in said, said
    assert "Traceback" not in said, said
    survived = entries(cache)
    again = subprocess.run([*run, "--json", "-"], capture_output=True, text=True, timeout=200)
    done = json.loads(again.stdout)
    assert done["there"] == len(survived)
    assert done["encoded"] + done["there"] == 40
    assert len(entries(cache)) == 40
