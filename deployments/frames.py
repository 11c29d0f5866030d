"""Whatever a pipeline returns as a picture, as uint8 RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = npt.NDArray[np.uint8]
"""A picture of shape (height, width, 3)."""


def to_rgb(picture: Any) -> Rgb:
    """A picture as uint8 RGB, channels last.

    Takes a PIL image, or an array or tensor with channels first, last or none (grey): floats are 0 to 1 and
    are clipped, integers are 0 to 255. An alpha channel is dropped. Raises ValueError for other shapes and
    for NaN, which a model makes that overflows its precision.
    """
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    if not isinstance(picture, np.ndarray):
        return _three_channels(_bytes_of_tensor(_channels_last(picture)))
    return _three_channels(_bytes_of_array(_channels_last(picture)))


def even_sized(picture: Rgb) -> Rgb:
    """The picture with its last row and column repeated where the height or width is odd."""
    height, width, _ = picture.shape
    if height % 2 == 0 and width % 2 == 0:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _channels_last(picture: Any) -> Any:
    """A view of shape (height, width, channels). A tensor of 3 x W x 3 is channels first, as torch's are."""
    if picture.ndim == 2:
        return picture[:, :, None]
    if picture.ndim != 3:
        raise ValueError(f"not a picture: shape {tuple(picture.shape)}")
    first, last = (picture.shape[axis] in (1, 3, 4) for axis in (0, 2))
    if not first and not last:
        raise ValueError(f"a picture needs 1, 3 or 4 channels: shape {tuple(picture.shape)}")
    prefers_first = not isinstance(picture, np.ndarray)
    if first and (prefers_first or not last):
        return picture.transpose(1, 2, 0) if isinstance(picture, np.ndarray) else picture.permute(1, 2, 0)
    return picture


def _bytes_of_array(picture: npt.NDArray[Any]) -> Rgb:
    if picture.dtype == np.uint8:
        return picture
    if picture.dtype.kind in "iu":
        clipped: Rgb = picture.clip(0, 255).astype(np.uint8)
        return clipped
    scaled = picture.astype(np.float32) * 255.0
    if np.isnan(scaled).any():
        raise ValueError("the model's picture is not a number (NaN)")
    rounded: Rgb = np.rint(scaled).clip(0, 255).astype(np.uint8)
    return rounded


def _bytes_of_tensor(picture: Any) -> Rgb:
    """On the tensor's own device: a quarter of the bytes then cross to the host."""
    if picture.is_floating_point():
        picture = picture.float()
        if bool(picture.isnan().any()):
            raise ValueError("the model's picture is not a number (NaN)")
        picture = (picture * 255.0).round()
    array: Rgb = picture.clamp(0, 255).byte().cpu().numpy()
    return array


def _three_channels(picture: Rgb) -> Rgb:
    if picture.shape[2] == 1:
        picture = picture.repeat(3, axis=2)
    return np.ascontiguousarray(picture[:, :, :3])
