"""The plugin in napari's own headless viewer; skipped where napari is not installed."""

import importlib.metadata

import numpy as np
import pytest

pytest.importorskip("napari", reason="needs the extra 'napari' and a Qt binding: pip install 'segue[napari]' pyside6")
pytest.importorskip("pytestqt", reason="needs pytest-qt")

from segue.integrations.napari import widget as module
from segue.integrations.napari.stack import Stack
from segue.integrations.napari.widget import BOXES, CLICKS, MASKS, SegueWidget

from ...fakes import ColourModel
from .test_stack import cells


@pytest.fixture
def viewer(make_napari_viewer, monkeypatch):
    """napari's own fixture: a viewer that checks for leaks when the test ends."""
    monkeypatch.setattr(module, "load", lambda name: ColourModel())
    return make_napari_viewer()


def started(viewer, qtbot, data, **options):
    viewer.add_image(data, **options)
    if data.ndim == 3 and not options:
        viewer.dims.set_current_step(0, 0)  # napari opens a stack in its middle
    _, widget = viewer.window.add_plugin_dock_widget("segue", "segue")
    widget.start()
    qtbot.waitUntil(lambda: widget.state == "ready", timeout=20_000)
    return widget


def click(viewer, qtbot, widget, *point):
    viewer.layers[CLICKS].add(np.array([point]))
    qtbot.waitUntil(lambda: "pixels" in widget.state, timeout=20_000)


def test_the_manifest_is_found_and_valid():
    import npe2

    manifest = npe2.PluginManifest.from_distribution("segue")
    assert [w.display_name for w in manifest.contributions.widgets] == ["segue"]
    manifest.validate_imports()
    assert "napari.manifest" in importlib.metadata.entry_points().groups


def test_a_click_becomes_labels_on_the_slice_in_view(viewer, qtbot):
    widget = started(viewer, qtbot, cells())
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: widget.state == "ready", timeout=20_000)
    click(viewer, qtbot, widget, 2, 10, 15)
    labels = viewer.layers[MASKS].data
    assert (labels[2, 6:16, 10:22] == 1).mean() > 0.9
    assert labels[[0, 1, 3, 4]].max() == 0


def test_undo_redoes_nothing_else_and_next_object_counts_on(viewer, qtbot):
    widget = started(viewer, qtbot, cells())
    click(viewer, qtbot, widget, 0, 10, 12)
    first = viewer.layers[MASKS].data.copy()
    widget.background.setChecked(True)
    click(viewer, qtbot, widget, 0, 10, 13)
    assert viewer.layers[CLICKS].features["positive"].tolist() == [True, False]
    green, red = viewer.layers[CLICKS].face_color[:, :3]
    assert green[1] > green[0]
    assert red[0] > red[1]
    assert (viewer.layers[MASKS].data != first).any()
    widget.undo()
    assert (viewer.layers[MASKS].data == first).all()
    assert len(viewer.layers[CLICKS].data) == 1
    widget.background.setChecked(False)
    widget.next_object()
    assert len(viewer.layers[CLICKS].data) == 0
    click(viewer, qtbot, widget, 0, 26, 6)
    assert sorted(np.unique(viewer.layers[MASKS].data)) == [0, 1, 2]
    assert (viewer.layers[MASKS].data[first == 1] == 1).mean() > 0.9


def test_a_rectangle_is_a_box_in_image_pixels(viewer, qtbot):
    widget = started(viewer, qtbot, cells()[0])
    viewer.layers[BOXES].add_rectangles(np.array([[5.5, 7.5], [15.5, 19.5]]))
    (box,) = widget.prompts()
    assert (box.x0, box.y0, box.x1, box.y1) == (8, 6, 20, 16)


def test_the_object_is_found_on_the_other_slices(viewer, qtbot):
    widget = started(viewer, qtbot, cells())
    click(viewer, qtbot, widget, 0, 10, 12)
    widget.find_on_others()
    qtbot.waitUntil(lambda: "found" in widget.state, timeout=20_000)
    labels = viewer.layers[MASKS].data
    assert all((labels[z] == 1).sum() > 60 for z in range(5))


def test_a_click_during_encoding_is_answered(viewer, qtbot, monkeypatch):
    import threading

    gate, encode = threading.Event(), Stack.encode

    def slow(self, index):
        gate.wait(10)
        return encode(self, index)

    monkeypatch.setattr(Stack, "encode", slow)
    viewer.add_image(cells())
    viewer.dims.set_current_step(0, 0)
    widget = SegueWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.start()
    qtbot.waitUntil(lambda: widget.state == "encoding ...", timeout=20_000)
    viewer.layers[CLICKS].add(np.array([[0, 10, 12]]))
    assert viewer.layers[MASKS].data.max() == 0
    gate.set()
    qtbot.waitUntil(lambda: viewer.layers[MASKS].data.max() == 1, timeout=20_000)


def test_colour_images_work_and_errors_are_shown(viewer, qtbot, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    widget = started(viewer, qtbot, photo, rgb=True)
    click(viewer, qtbot, widget, 4, 5)
    assert viewer.layers[MASKS].data.shape == (24, 32)
    shown = []
    monkeypatch.setattr(module, "show_error", shown.append)
    widget.find_on_others()
    qtbot.waitUntil(lambda: bool(shown), timeout=20_000)
    assert "stack" in shown[0]
