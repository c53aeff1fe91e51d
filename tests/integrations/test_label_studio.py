"""The ML backend, spoken to as Label Studio speaks."""

import base64
import json
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'annotator' (fastapi)")

import uvicorn
from fastapi.testclient import TestClient

from segue.core.errors import DownloadError, ImageError, MissingFile
from segue.data.formats.brush import decode_brush
from segue.data.formats.registry import format_named, recognise
from segue.data.io.image import write_image
from segue.integrations.label_studio import Backend, create_app
from segue.integrations.label_studio_files import ImageSource

from ..fakes import ColourModel

CONFIG = """<View><Image name="img" value="$photo"/>
<BrushLabels name="tag" toName="img"><Label value="cat"/><Label value="dog"/></BrushLabels>
<KeyPointLabels name="kp" toName="img" smart="true"><Label value="dog"/></KeyPointLabels>
<RectangleLabels name="box" toName="img" smart="true"><Label value="dog"/></RectangleLabels></View>"""
RED = (slice(10, 30), slice(20, 50))


@pytest.fixture
def root(tmp_path):
    image = np.full((40, 60, 3), 30, np.uint8)
    image[RED] = (200, 20, 20)
    write_image(tmp_path / "photos" / "a b.png", image)
    return tmp_path


@pytest.fixture
def client(root):
    return TestClient(create_app(Backend(ColourModel(), ImageSource(root), root / "kept")))


def point(x, y, positive=1, label="dog"):
    return {
        "id": "k",
        "type": "keypointlabels",
        "from_name": "kp",
        "to_name": "img",
        "original_width": 60,
        "original_height": 40,
        "image_rotation": 0,
        "is_positive": positive,
        "value": {"x": 100 * x / 60, "y": 100 * y / 40, "width": 0.3, "keypointlabels": [label]},
    }


def rectangle(x0, y0, x1, y1):
    value = {
        "x": 100 * x0 / 60,
        "y": 100 * y0 / 40,
        "width": 100 * (x1 - x0) / 60,
        "height": 100 * (y1 - y0) / 40,
        "rotation": 0,
        "rectanglelabels": ["dog"],
    }
    return {"type": "rectanglelabels", "original_width": 60, "original_height": 40, "value": value}


def request(*context, config=CONFIG, address="/data/local-files/?d=photos/a%20b.png"):
    task = {"id": 7, "data": {"photo": address}, "annotations": [], "predictions": []}
    return {
        "tasks": [task],
        "model_version": None,
        "project": "1.1700000000",
        "label_config": config,
        "params": {"login": None, "password": None, "context": {"result": list(context)} if context else None},
    }


def test_health_and_setup_answer_as_the_contract_says(client):
    health = client.get("/health").json()
    assert (health["status"], health["model_class"]) == ("UP", "ColourModel")
    setup = client.post("/setup", json={"project": "1.17", "schema": CONFIG, "extra_params": None})
    assert setup.json()["model_version"].startswith("segue-")


def test_a_smart_keypoint_becomes_a_brush_mask(client):
    (answer,) = client.post("/predict", json=request(point(30, 20))).json()["results"]
    (result,) = answer["result"]
    assert (result["from_name"], result["to_name"], result["type"]) == ("tag", "img", "brushlabels")
    assert result["value"]["brushlabels"] == ["dog"]
    mask = decode_brush(result["value"]["rle"], (result["original_height"], result["original_width"]))
    expected = np.zeros((40, 60), bool)
    expected[RED] = True
    assert (mask == expected).mean() > 0.97
    assert 0 <= answer["score"] <= 1


def test_a_background_keypoint_corrects(client):
    def area(*context):
        (answer,) = client.post("/predict", json=request(*context)).json()["results"]
        return decode_brush(answer["result"][0]["value"]["rle"], (40, 60)).sum()

    assert area(point(5, 5)) > 1000
    assert area(point(5, 5), point(30, 20)) > area(point(5, 5), point(30, 20, positive=0))


def test_a_rectangle_is_a_box_prompt(root):
    seen = []

    class Watching(ColourModel):
        def decode(self, features, prompts, memory=None):
            seen.extend(prompts)
            return super().decode(features, prompts, memory)

    watching = TestClient(create_app(Backend(Watching(), ImageSource(root))))
    assert watching.post("/predict", json=request(rectangle(20, 10, 50, 30), point(30, 20))).status_code == 200
    box, click = seen
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((20, 10, 50, 30))
    assert (click.x, click.y) == pytest.approx((30, 20))


def test_the_same_image_is_encoded_once(root):
    calls = []

    class Counting(ColourModel):
        def encode(self, images, frames=None):
            calls.append(1)
            return super().encode(images, frames)

    counting = TestClient(create_app(Backend(Counting(), ImageSource(root))))
    for x in (5, 30, 55):
        assert counting.post("/predict", json=request(point(x, 20))).status_code == 200
    assert len(calls) == 1


def test_a_project_that_draws_polygons_gets_polygons(client):
    config = CONFIG.replace("BrushLabels", "PolygonLabels")
    (answer,) = client.post("/predict", json=request(point(30, 20), config=config)).json()["results"]
    (result,) = answer["result"]
    assert result["type"] == "polygonlabels"
    assert len(result["value"]["points"]) < 12
    assert np.ptp(np.array(result["value"]["points"]), axis=0) == pytest.approx([50, 50], abs=6)


def test_tasks_without_clicks_get_empty_answers(client):
    body = request()
    body["tasks"] *= 3
    answer = client.post("/predict", json=body).json()
    assert [r["result"] for r in answer["results"]] == [[], [], []]


def test_the_interface_of_setup_serves_requests_without_one(client):
    client.post("/setup", json={"project": "1", "schema": CONFIG})
    body = request(point(30, 20))
    del body["label_config"]
    assert client.post("/predict", json=body).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (request(point(30, 20), address="/data/local-files/?d=../../etc/passwd"), "below"),
        (request(point(30, 20), address="/data/local-files/?d=photos/none.png"), "Check --root"),
        (request(point(30, 20), address="/data/upload/1/a.png"), "--label-studio"),
        (request(point(30, 20), address="s3://bucket/a.png"), "s3://"),
        (request(point(30, 20), config="<View/>"), "BrushLabels"),
        (request(point(30, 20), config="<View"), "no XML"),
        (request({"type": "keypointlabels", "value": {}}), "original_width"),
        (request({"type": "choices", "value": {}}), "smart"),
        (request({**point(30, 20), "original_width": 99}), "60 x 40"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(client, body, message):
    answer = client.post("/predict", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_webhooks_collect_a_data_set(client, root):
    (answer,) = client.post("/predict", json=request(point(30, 20))).json()["results"]
    annotation = {"id": 1, "result": answer["result"]}
    event = {"action": "ANNOTATION_CREATED", "task": request()["tasks"][0], "annotation": annotation}
    assert client.post("/webhook", json=event).status_code == 201
    assert recognise(root / "kept") == "label-studio"
    (sheet,) = format_named("label-studio").read(root / "kept")
    assert sheet.image().shape == (40, 60, 3)
    assert sheet.annotations[0].name == "dog"
    assert client.post("/webhook", json=event | {"action": "ANNOTATION_DELETED"}).status_code == 201
    assert not list((root / "kept").glob("*.json"))
    training = client.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 1}})
    assert training.status_code == 201
    assert "segue adapt" in training.json()["run"]


def test_a_password_is_asked_for_everywhere_but_health(root):
    guarded = TestClient(create_app(Backend(ColourModel(), ImageSource(root)), password="open sesame"))
    assert guarded.get("/health").status_code == 200
    assert guarded.post("/predict", json=request(point(30, 20))).status_code == 401
    for wrong in ("Basic ???", "Basic " + base64.b64encode(b"segue:wrong").decode(), "Bearer open sesame"):
        assert guarded.post("/setup", json={}, headers={"Authorization": wrong}).status_code == 401
    right = {"Authorization": "Basic " + base64.b64encode(b"segue:open sesame").decode()}
    assert guarded.post("/predict", json=request(point(30, 20)), headers=right).status_code == 200


def test_links_do_not_lead_out_of_the_root(root, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    write_image(secret, np.zeros((4, 4, 3), np.uint8))
    (root / "photos" / "link.png").symlink_to(secret)
    with pytest.raises(ImageError, match="below"):
        ImageSource(root).read("/data/local-files/?d=photos/link.png")


def test_only_the_label_studio_server_is_asked(root):
    source = ImageSource(root, "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="Other hosts"):
        source.read("http://169.254.169.254/latest/meta-data")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9"):
        source.read("/data/upload/1/a.png")
    with pytest.raises(MissingFile):
        ImageSource().read("/data/upload/1/a.png")


def test_over_real_http_with_uploads_from_a_label_studio_server(root):
    """Two servers: one that hands out an upload for the right token, and the backend that asks it."""
    from fastapi import FastAPI, Header, HTTPException
    from fastapi.responses import FileResponse

    studio = FastAPI()

    @studio.get("/data/upload/{project}/{name}")
    def upload(project: int, name: str, authorization: str = Header("")) -> FileResponse:
        if authorization != "Token secret":
            raise HTTPException(401)
        return FileResponse(root / "photos" / name)

    with running(studio) as server:
        backend = create_app(Backend(ColourModel(), ImageSource(None, server, "secret")))
        with running(backend) as address:
            body = json.dumps(request(point(30, 20), address="/data/upload/1/a b.png")).encode()
            post = urllib.request.Request(f"{address}/predict", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(post, timeout=30) as answer:
                results = json.load(answer)["results"]
    assert decode_brush(results[0]["result"][0]["value"]["rle"], (40, 60)).sum() > 400


class running:
    """An application on a free port, in a thread."""

    def __init__(self, app):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self):
        self.thread.start()
        for _ in range(600):
            if self.server.started:
                return f"http://127.0.0.1:{self.socket.getsockname()[1]}"
            time.sleep(0.05)
        raise TimeoutError

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()
