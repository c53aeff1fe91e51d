import json

import numpy as np
import pytest
from typer.testing import CliRunner

from segue.cli import app
from segue.core.errors import DataError
from segue.data.formats.registry import format_named
from segue.data.io.image import write_image
from segue.data.record import Annotation, Sample
from segue.jobs.check import check


def rect(x0, y0, x1, y1, size=(40, 50)):
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def written(folder, *images):
    """A COCO data set: (name, [(mask, class)]) each."""
    samples = [
        Sample.from_arrays(
            name, np.zeros((40, 50, 3), np.uint8), [Annotation.from_mask(m, kind) for m, kind in objects]
        )
        for name, objects in images
    ]
    format_named("coco").write(folder, samples)
    return folder


def findings(result):
    return {finding.what: finding.count for finding in result.findings}


def test_a_tidy_data_set_has_no_findings(tmp_path):
    result = check(source=written(tmp_path, ("a", [(rect(2, 2, 20, 20), "cat")]), ("b", [(rect(5, 5, 30, 30), "dog")])))
    assert (result.images, result.objects, result.classes) == (2, 2, {"cat": 1, "dog": 1})
    assert (result.findings, result.failed) == ([], ())


def test_everything_suspicious_is_counted_and_shown(tmp_path):
    whole, block = rect(0, 0, 50, 40), rect(2, 2, 20, 20)
    speck = block | rect(30, 30, 32, 32)
    written(
        tmp_path,
        ("a", [(block, "cat"), (block, "Cat")]),
        ("b", [(whole, "cat")]),
        ("c", [(speck, "cat"), (rect(10, 10, 28, 28), "cat")]),
        ("d", []),
    )
    write_image(tmp_path / "images" / "forgotten.png", np.zeros((40, 50, 3), np.uint8))
    result = check(source=tmp_path)
    assert findings(result) == {
        "object annotated twice": 1,
        "object that covers the whole image": 1,
        "part of fewer than 16 pixels": 1,
        "objects that overlap": 1,
        "image without an object": 1,
        "photo that no annotation names": 1,
        "classes that differ in capitals or spaces": 1,
    }
    (twice,) = [f.examples for f in result.findings if f.what == "object annotated twice"]
    assert "a.png" in twice[0]


def test_losses_of_the_reader_and_images_that_do_not_read_are_told(tmp_path):
    written(tmp_path, ("a", [(rect(2, 2, 20, 20), "cat")]), ("b", [(rect(2, 2, 20, 20), "cat")]))
    file = tmp_path / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["category_id"] = 77
    content["annotations"].append(content["annotations"][0] | {"id": 9, "image_id": 1000})
    content["images"][1] |= {"width": 60}
    file.write_text(json.dumps(content))
    result = check(source=tmp_path)
    assert findings(result)["image id 1000 is not listed"] == 1
    assert findings(result)["category id 77 is not listed: object without a class"] == 1
    assert len(result.failed) == 1
    assert "b.png" in result.failed[0].item + result.failed[0].reason
    run = CliRunner().invoke(app, ["check", str(tmp_path), "--json", "-"])
    assert run.exit_code == 1
    assert json.loads(run.stdout)["images"] == 1


def test_a_folder_of_nothing_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"1 \.txt"):
        check(source=tmp_path)
