"""Hypothesis strategies: masks with everything that breaks formats - holes, parts, borders, single pixels."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@st.composite
def masks(draw, min_side=1, max_side=14, size=None, empty=True):
    """(H, W) bool: noise, or rectangles put in and cut out, sometimes enlarged so that regions get thick."""
    height, width = size or (draw(st.integers(min_side, max_side)), draw(st.integers(min_side, max_side)))
    if draw(st.booleans()):
        mask = draw(arrays(np.bool_, (height, width)))
    else:
        mask = np.zeros((height, width), bool)
        for _ in range(draw(st.integers(1, 5))):
            y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            h, w = draw(st.integers(1, height)), draw(st.integers(1, width))
            mask[y : y + h, x : x + w] = draw(st.booleans())
    if not empty and not mask.any():
        mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    if size is None and draw(st.booleans()):
        mask = mask.repeat(draw(st.integers(1, 3)), 0).repeat(draw(st.integers(1, 3)), 1)
    return mask
