import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deployments.frames import even_sized, to_rgb

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
FLOATS = PICTURE / np.float32(255)


@pytest.mark.parametrize(
    "picture",
    [
        PICTURE,
        PICTURE.transpose(2, 0, 1),
        FLOATS,
        FLOATS.transpose(2, 0, 1),
        FLOATS.astype(np.float64),
        PICTURE.astype(np.int64),
        Image.fromarray(PICTURE),
        np.dstack([PICTURE, PICTURE[:, :, 0]]),
    ],
    ids=["bytes", "bytes-chw", "floats", "floats-chw", "doubles", "integers", "pil", "alpha"],
)
def test_every_form_of_a_picture_comes_out_the_same(picture):
    converted = to_rgb(picture)
    assert converted.dtype == np.uint8
    assert np.array_equal(converted, PICTURE)


def test_floats_outside_the_range_are_clipped_and_do_not_wrap():
    bright = to_rgb(np.full((2, 2, 3), 1.01, np.float32))
    dark = to_rgb(np.full((2, 2, 3), -0.01, np.float32))
    assert (bright.min(), dark.max()) == (255, 0)


@given(st.integers(0, 255))
def test_a_byte_survives_being_a_float(value):
    assert to_rgb(np.full((2, 2, 3), value / 255, np.float32))[0, 0, 0] == value


def test_half_precision_is_rounded_as_single_precision_is():
    assert np.abs(to_rgb(FLOATS.astype(np.float16)).astype(int) - PICTURE).max() <= 1


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (1, 4, 6)])
def test_grey_becomes_three_equal_channels(shape):
    converted = to_rgb(np.full(shape, 0.5, np.float32))
    assert converted.shape == (4, 6, 3)
    assert (converted == 128).all()


@pytest.mark.parametrize("shape", [(5, 4, 6, 3), (7,), (5, 6, 7), (2, 4, 6)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        to_rgb(np.zeros(shape, np.float32))


def test_not_a_number_is_refused_instead_of_painted_black():
    with pytest.raises(ValueError, match="NaN"):
        to_rgb(np.full((2, 2, 3), np.nan, np.float32))


@pytest.mark.parametrize(("size", "even"), [((4, 6), (4, 6)), ((5, 6), (6, 6)), ((1, 1), (2, 2))])
def test_odd_sizes_grow_by_repeating_the_edge(size, even):
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    grown = even_sized(picture)
    assert grown.shape == (*even, 3)
    assert np.array_equal(grown[: size[0], : size[1]], picture)
    assert np.array_equal(grown[-1, : size[1]], picture[-1])
