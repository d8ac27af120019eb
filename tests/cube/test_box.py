import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from taxoscape.cube.box import Box, blocks


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20), st.integers(1, 2000))
def test_blocks_cover_an_area_once_start_on_blocks_and_keep_to_the_size(height, width, block, pixels) -> None:
    seen = np.zeros((height, width), int)
    for box in blocks((height, width), block=block, pixels=pixels):
        assert box.row % block == box.col % block == 0
        assert box.height * box.width <= max(pixels, block * block)
        seen[box.slices] += 1
    assert (seen == 1).all()


BOXES = st.builds(Box, st.integers(-5, 5), st.integers(-5, 5), st.integers(0, 5), st.integers(0, 5))


@given(BOXES, BOXES)
def test_boxes_share_the_pixels_that_are_in_both(one: Box, other: Box) -> None:
    def pixels(box: Box) -> set[tuple[int, int]]:
        return {(y, x) for y in range(box.row, box.row + box.height) for x in range(box.col, box.col + box.width)}

    shared = one.intersect(other)
    assert pixels(shared) == pixels(one) & pixels(other)
    assert shared.is_empty == (not pixels(shared))
    assert len(pixels(one.relative_to(other))) == len(pixels(one))
