"""AR@k and the best match, against pycocotools and by hand."""

import numpy as np
import pytest

from segue.metrics.proposals import IOU_THRESHOLDS, average_recall, best_overlap


def test_a_proposal_finds_one_target_and_k_limits_an_image_each():
    two_targets_one_proposal = np.array([[0.96, 0.96]])
    assert average_recall([two_targets_one_proposal], 10) == 0.5
    ranked = np.array([[0.0], [1.0]])
    assert average_recall([ranked], 1) == 0.0
    assert average_recall([ranked], 2) == 1.0


def test_images_without_targets_or_proposals_count_as_they_should():
    assert average_recall([np.zeros((3, 0)), np.zeros((0, 2))], 10) == 0.0
    assert best_overlap([np.zeros((3, 0))]) == 0.0
    assert best_overlap([np.zeros((0, 1)), np.array([[0.5]])]) == 0.25


@pytest.mark.parametrize("most", [1, 3, 10])
def test_average_recall_is_cocos(most):
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(most)
    targets, answers, matrices = [], [], []
    for image in range(1, 5):
        boxes = [[*rng.uniform(0, 40, 2), *rng.uniform(20, 60, 2)] for _ in range(3)]
        targets += [
            {"id": 10 * image + i, "image_id": image, "category_id": 1, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
            for i, b in enumerate(boxes)
        ]
        jittered = [[v + rng.normal(0, 3) for v in boxes[int(rng.integers(3))]] for _ in range(6)]
        answers += [
            {"image_id": image, "category_id": 1, "bbox": b, "score": 1 - i / 10} for i, b in enumerate(jittered)
        ]
        matrices.append(np.array([[_box_iou(a, b) for b in boxes] for a in jittered]))
    truth = COCO()
    truth.dataset = {"images": [{"id": i} for i in range(1, 5)], "categories": [{"id": 1}], "annotations": targets}
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
    evaluation.params.maxDets = [most]
    evaluation.evaluate()
    evaluation.accumulate()
    recall = evaluation.eval["recall"][:, 0, 0, 0]
    assert len(recall) == len(IOU_THRESHOLDS)
    assert average_recall(matrices, most) == pytest.approx(float(recall.mean()))


def _box_iou(a, b):
    across = max(0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    down = max(0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return across * down / (a[2] * a[3] + b[2] * b[3] - across * down)
