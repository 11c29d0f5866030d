import numpy as np
import pytest
import torch

from deployments.frames import to_rgb

PICTURE = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3) * 2
TENSOR = torch.from_numpy(PICTURE)


@pytest.mark.parametrize(
    "picture",
    [
        TENSOR,
        TENSOR.permute(2, 0, 1),
        TENSOR / 255,
        TENSOR.permute(2, 0, 1) / 255,
        TENSOR.permute(2, 0, 1).long(),
    ],
    ids=["bytes", "bytes-chw", "floats", "floats-chw", "integers"],
)
def test_every_form_of_a_tensor_comes_out_the_same(picture):
    assert np.array_equal(to_rgb(picture), PICTURE)


def test_a_tensor_three_pixels_wide_is_channels_first():
    assert to_rgb(torch.zeros(3, 5, 3)).shape == (5, 3, 3)


def test_half_precision_tensors_are_clipped_and_do_not_wrap():
    values = torch.tensor([-0.1, 0.0, 1.0, 1.1], dtype=torch.bfloat16).expand(3, 2, 4)
    assert to_rgb(values)[0, :, 0].tolist() == [0, 0, 255, 255]


def test_a_tensor_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        to_rgb(torch.full((3, 2, 2), torch.nan))
