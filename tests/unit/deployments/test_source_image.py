import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deployments.errors import SourceImageUnreadable
from deployments.source_image import fit_image, fit_size, read_image
from tests.generation import png

SIDES = st.integers(1, 20_000)
AREAS = st.integers(1, 4_000_000)
MULTIPLES = st.sampled_from([1, 8, 16, 32, 64])


@pytest.mark.parametrize(
    ("source", "fitted"),
    [
        ((1024, 1024), (624, 624)),
        ((1024, 768), (720, 544)),
        ((1280, 720), (832, 464)),
        ((832, 480), (832, 480)),
    ],
)
def test_pictures_are_fitted_as_the_earlier_server_did(source, fitted):
    assert fit_size(*source, max_area=480 * 832, multiple=16) == fitted


@given(SIDES, SIDES, AREAS, MULTIPLES)
def test_a_fitted_size_is_on_the_grid_and_within_the_area(width, height, area, multiple):
    fitted = fit_size(width, height, max_area=area, multiple=multiple)
    assert all(side >= multiple and side % multiple == 0 for side in fitted)
    assert fitted[0] * fitted[1] <= max(area, multiple**2)


@given(SIDES, SIDES, AREAS, MULTIPLES, st.integers(64, 2048))
def test_no_side_is_longer_than_the_longest_allowed(width, height, area, multiple, longest):
    assert max(fit_size(width, height, max_area=area, multiple=multiple, max_side=longest)) <= longest


@given(st.integers(100, 4000), st.integers(100, 4000))
def test_the_shape_is_kept_up_to_one_step_of_the_grid(width, height):
    if not 0.25 < width / height < 4:
        return
    fitted_width, fitted_height = fit_size(width, height, max_area=480 * 832, multiple=16)
    assert fitted_width / (fitted_height + 16) <= width / height <= (fitted_width + 16) / fitted_height


@given(SIDES, SIDES, AREAS, MULTIPLES)
def test_a_turned_picture_gets_the_turned_size(width, height, area, multiple):
    upright = fit_size(width, height, max_area=area, multiple=multiple)
    assert fit_size(height, width, max_area=area, multiple=multiple) == upright[::-1]


def test_a_fitted_picture_is_cropped_and_not_stretched():
    picture = Image.new("RGB", (300, 100), "white")
    picture.paste("red", (100, 0, 200, 100))
    fitted = fit_image(picture, 200, 100)
    red = [x for x in range(200) if fitted.getpixel((x, 50)) == (255, 0, 0)]
    assert len(red) == pytest.approx(100, abs=4)


@pytest.mark.parametrize("data", [None, b"", b"not a picture", png(64, 64)[:60]])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(SourceImageUnreadable):
        read_image(data)


def test_a_picture_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20)).save(buffer, "JPEG", exif=exif)
    assert read_image(buffer.getvalue()).size == (20, 40)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_every_kind_of_picture_becomes_rgb(mode):
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "PNG")
    assert read_image(buffer.getvalue()).mode == "RGB"
