"""Thumbnails with the masks on them."""

from __future__ import annotations

import cv2
import numpy as np

from segue.annotator.codec import unpack
from segue.annotator.project import Project
from segue.annotator.store import get_masks, image_row, live_labels, live_objects

OPACITY = 0.45


def drawn(project: Project, image_id: int) -> bytes:
    """The thumbnail of an image, as JPEG, with every object that is not hidden in the colour of its class."""
    with project.store.read() as db:
        row = image_row(db, image_id)
        objects = [one for one in live_objects(db, image_id) if one.mask_id is not None and not one.hidden]
        masks = get_masks(db, [one.mask_id for one in objects])
        colours = {label.id: label.colour for label in live_labels(db)}
    content = project.library.thumbnail(row.path)
    if not objects:
        return content
    picture = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), np.float32)
    size = (picture.shape[1], picture.shape[0])
    for one in objects:
        mask = unpack(masks[one.mask_id or 0], row.size)
        share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        colour = colours.get(one.label_id, "#8b96a3")
        paint = np.array([int(colour[at : at + 2], 16) for at in (5, 3, 1)], np.float32)  # blue, green, red
        edge = (share > 0.5) & (cv2.erode((share > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
        alpha = np.where(edge, 1.0, OPACITY * share)[..., None]
        picture = picture * (1 - alpha) + paint * alpha
    return bytes(cv2.imencode(".jpg", np.rint(picture).astype(np.uint8), (cv2.IMWRITE_JPEG_QUALITY, 80))[1])
