"""Click maps against their definitions, pixel by pixel."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.nn.clickmaps import FAR, click_disks, click_distance_maps, pack_clicks, squared_distance

coordinate = st.floats(-5, 25, width=32)
clicks = st.lists(st.tuples(coordinate, coordinate, st.booleans()), max_size=6)


@settings(max_examples=30, deadline=None)
@given(clicks)
def test_distance_is_to_the_nearest_click_of_each_polarity(given_clicks):
    points = pack_clicks(given_clicks)
    got = squared_distance(points, (11, 13))[0]
    for channel, wanted in enumerate((True, False)):
        # a published quirk: a click left of and above the image counts as padding
        mine = [(y, x) for y, x, positive in given_clicks if positive is wanted and max(y, x) >= 0]
        for r in (0, 5, 10):
            for c in (0, 6, 12):
                expected = min(((r - y) ** 2 + (c - x) ** 2 for y, x in mine), default=FAR)
                assert abs(got[channel, r, c].item() - expected) <= 1e-3 + 1e-5 * expected


def test_disks_include_their_rim_and_fractional_centres():
    disks = click_disks(pack_clicks([(10, 10, True), (4.5, 4.5, False)]), (21, 21), 5)[0]
    assert disks[0, 10, 15] == 1
    assert disks[0, 13, 14] == 1  # 3-4-5
    assert disks[0, 10, 16] == 0
    assert disks[1, 4, 9] == 1
    assert disks[1, 4, 10] == 0


def test_maps_of_nobody_are_empty_or_far():
    assert click_disks(pack_clicks([]), (4, 4)).sum() == 0
    assert (click_distance_maps(pack_clicks([]), (4, 4)) == 1).all()


def test_each_sample_of_a_batch_has_its_own_clicks():
    points = torch.cat([pack_clicks([(1, 1, True)]), pack_clicks([(6, 6, False)])])
    disks = click_disks(points, (8, 8), 1)
    assert disks[0, 0, 1, 1] == 1
    assert disks[0, 1].sum() == 0
    assert disks[1, 1, 6, 6] == 1
    assert disks[1, 0].sum() == 0


def test_slots_pad_without_changing_the_maps():
    few = [(3, 4, True), (6, 2, False)]
    assert torch.equal(click_disks(pack_clicks(few, slots=7), (9, 9)), click_disks(pack_clicks(few), (9, 9)))
