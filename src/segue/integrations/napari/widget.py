"""The dock widget: a points layer and a boxes layer in, a labels layer out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QLineEdit, QPushButton, QWidget
from superqt.utils import create_worker

from segue.core.errors import SegueError
from segue.core.types import Box, Click, Prompt
from segue.integrations.napari.stack import Index, Stack, painted
from segue.session.load import load

CLICKS, BOXES, MASKS = "segue clicks", "segue boxes", "segue masks"
_COLORS = {True: "#2ecc71", False: "#eb4034"}


class SegueWidget(QWidget):  # type: ignore[misc]
    """Click on the object in the layer "segue clicks" (background clicks while the box is ticked) or draw a
    rectangle in "segue boxes"; the answer is painted into "segue masks" on the slice in view.

    Keys: Shift-N next object, Shift-Z undo, Shift-B background. Encoding runs in a thread; clicks made meanwhile
    are answered when it is done.
    """

    def __init__(self, napari_viewer: Viewer) -> None:  # napari gives the viewer by this very name
        super().__init__()
        self.viewer = viewer = napari_viewer
        self.stack: Stack | None = None
        self.state = "choose an image"
        self._base: tuple[Index, Any] | None = None
        self._waiting = False
        self._quiet = False
        self._build()
        viewer.layers.events.inserted.connect(self._list_images)
        viewer.layers.events.removed.connect(self._list_images)
        viewer.dims.events.current_step.connect(self._moved)
        for key, action in (("Shift-N", self.next_object), ("Shift-Z", self.undo), ("Shift-B", self._flip)):
            viewer.bind_key(key, lambda _viewer, act=action: act(), overwrite=True)
        self._list_images()

    def _build(self) -> None:
        self.images, self.model = QComboBox(), QLineEdit("nano")
        self.background, self.status = QCheckBox("background clicks (Shift-B)"), QLabel(self.state)
        self.start_button = self._button("Start", self.start)
        self.next_button = self._button("Next object (Shift-N)", self.next_object)
        self.undo_button = self._button("Undo (Shift-Z)", self.undo)
        self.others_button = self._button("Find on the other slices", self.find_on_others)
        form = QFormLayout(self)
        form.addRow("image", self.images)
        form.addRow("model", self.model)
        for row in (self.start_button, self.background, self.undo_button, self.next_button, self.others_button):
            form.addRow(row)
        form.addRow(self.status)
        self.background.toggled.connect(self._recolor)

    def _button(self, text: str, action: Callable[[], None]) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(lambda _checked=False: action())
        return button

    def start(self) -> None:
        """Load the model, make the layers, and encode the slice in view."""
        layer = self._image_layer()
        if layer is None:
            self._say("open an image first")
            return
        data = layer.data[0] if layer.multiscale else layer.data
        rgb = bool(layer.rgb)
        self._say(f"loading {self.model.text()} ...")
        self._run(lambda: Stack(load(self.model.text()), data, rgb), self._opened)

    def _opened(self, stack: Stack) -> None:
        self.stack = stack
        self._layers(stack)
        self._moved()

    def _layers(self, stack: Stack) -> None:
        layer, ndim = self._image_layer(), 2 + len(stack.leading)
        place = {"scale": layer.scale[-ndim:], "translate": layer.translate[-ndim:]} if layer is not None else {}
        self._quiet = True
        for name in (MASKS, BOXES, CLICKS):
            if name in self.viewer.layers:
                self.viewer.layers.remove(name)
        self.masks = Labels(np.zeros((*stack.leading, *stack.size), np.int32), name=MASKS, **place)
        self.boxes = Shapes(ndim=ndim, name=BOXES, face_color="transparent", edge_color=_COLORS[True], **place)
        kinds = {"positive": np.zeros(0, bool)}
        self.clicks = Points(ndim=ndim, features=kinds, name=CLICKS, size=max(3, max(stack.size) // 60), **place)
        for new in (self.masks, self.boxes, self.clicks):
            self.viewer.add_layer(new)
        self.masks.selected_label = 1
        self.clicks.mode = "add"
        self.viewer.layers.selection.active = self.clicks
        self.clicks.events.data.connect(self._changed)
        self.boxes.events.data.connect(self._changed)
        self._quiet = False
        self._recolor()

    @property
    def index(self) -> Index:
        """The slice in view."""
        assert self.stack is not None
        count = len(self.stack.leading)
        steps = self.viewer.dims.current_step
        return tuple(int(v) for v in steps[len(steps) - 2 - count : len(steps) - 2])

    def prompts(self) -> list[Prompt]:
        """Boxes, then clicks, of the current object on the slice in view."""
        found: list[Prompt] = []
        height, width = self.stack.size if self.stack else (0, 0)
        for corners in self.boxes.data:
            if self._here(corners[0]):
                low, high = corners[:, -2:].min(0) + 0.5, corners[:, -2:].max(0) + 0.5  # napari's pixels are centred
                found.append(Box(float(low[1]), float(low[0]), float(high[1]), float(high[0])))
        for point, kind in zip(self.clicks.data, self.clicks.features.get("positive", []), strict=False):
            y, x = np.rint(point[-2:]).astype(int).tolist()
            if self._here(point) and 0 <= y < height and 0 <= x < width:
                found.append(Click(float(x), float(y), bool(kind)))
        return found

    def next_object(self) -> None:
        """Keep this object and begin another with the next free label."""
        if self.stack is None:
            return
        self.stack.finish()
        self._base = None
        self._clear()
        self.masks.selected_label = int(self.masks.data.max()) + 1
        self._say(f"object {self.masks.selected_label}")

    def undo(self) -> None:
        """Take the last click or box back, exactly as it was before."""
        if self.stack is None:
            return
        left = self.stack.undo()
        current = self.prompts()
        for prompt in reversed(current[left:]):
            self._drop_last(self.boxes if isinstance(prompt, Box) else self.clicks)
        self._paint()

    def find_on_others(self) -> None:
        """The current object on every other slice, under the same label; one after the other, in a thread."""
        if self.stack is None:
            return
        stack, index, label = self.stack, self.index, int(self.masks.selected_label)
        mask = np.asarray(self.masks.data[index]) == label
        self._say("looking on the other slices ...")
        self._run(lambda: list(stack.others(index, mask)), lambda found: self._found(found, label))

    def _found(self, found: list[tuple[Index, Any]], label: int) -> None:
        for index, mask in found:
            self.masks.data[index] = painted(self.masks.data[index], mask, label, preserve=True)
        self.masks.refresh()
        self._say(f"found on {len(found)} other slices")

    def _changed(self, event: Any = None) -> None:
        """Answer once the new data is complete; napari tells of a change before and after."""
        if not self._quiet and str(getattr(event, "action", "added")).rpartition(".")[2].lower() in (
            "added",
            "changed",
            "removed",
        ):
            self._paint()

    def _paint(self) -> None:
        stack, index = self.stack, self.index
        if stack is None:
            return
        if not stack.has(index):
            self._waiting = True
            self._moved()
            return
        try:
            mask = stack.prompt(index, self.prompts())
        except SegueError as error:
            show_error(str(error))
            return
        label = int(self.masks.selected_label)
        if self._base is None or self._base[0] != index:
            self._base = index, np.array(self.masks.data[index])
        self.masks.data[index] = painted(self._base[1], mask, label, bool(self.masks.preserve_labels))
        self.masks.refresh()
        self._say(f"object {label}: {int(mask.sum())} pixels")

    def _moved(self, _event: Any = None) -> None:
        """Another slice is in view: encode it unless it is."""
        if self.stack is None:
            return
        stack, index = self.stack, self.index
        if stack.has(index):
            self._encoded(index)
            return
        self._say("encoding ...")
        self._run(lambda: stack.encode(index), self._encoded)

    def _encoded(self, index: Index) -> None:
        if self.stack is None or index != self.index:
            return
        self._say("ready")
        if self._waiting:
            self._waiting = False
            self._paint()

    def _run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        create_worker(work, _connect={"returned": done, "errored": self._failed})

    def _failed(self, error: BaseException) -> None:
        self._say(str(error))
        show_error(str(error))

    def _here(self, point: Any) -> bool:
        return tuple(np.rint(point[:-2]).astype(int).tolist()) == self.index

    def _drop_last(self, layer: Points | Shapes) -> None:
        self._quiet = True
        layer.selected_data = {len(layer.data) - 1}
        layer.remove_selected()
        self._quiet = False

    def _clear(self) -> None:
        self._quiet = True
        for layer in (self.clicks, self.boxes):
            layer.selected_data = set(range(len(layer.data)))
            layer.remove_selected()
        self._quiet = False

    def _flip(self) -> None:
        self.background.setChecked(not self.background.isChecked())

    def _recolor(self, _checked: bool = False) -> None:
        """The kind and colour of the next click."""
        if self.stack is None:
            return
        positive = not self.background.isChecked()
        self.clicks.selected_data = set()  # a selected click would take the new colour
        self.clicks.feature_defaults = {"positive": positive}
        self.clicks.current_face_color = _COLORS[positive]

    def _image_layer(self) -> Image | None:
        named = [layer for layer in self.viewer.layers if layer.name == self.images.currentText()]
        return named[0] if named else None

    def _list_images(self, _event: Any = None) -> None:
        names, current = (
            [layer.name for layer in self.viewer.layers if isinstance(layer, Image)],
            self.images.currentText(),
        )
        self.images.clear()
        self.images.addItems(names)
        if current in names:
            self.images.setCurrentText(current)

    def _say(self, text: str) -> None:
        self.state = text
        self.status.setText(text)
