"""Images of any origin, opened: a path, encoded bytes, an array or a Pillow image becomes RGB pixels.

Knows Pillow. Does not know datasets or models.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from selection.errors import DatasetError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})


def open_image(row: Any) -> Any:
    """A Pillow image in RGB, turned upright where a photo's own note says so.

    Raises:
        DatasetError: the file, the bytes or the array is no image.
    """
    image_module, operations = _pillow()
    if isinstance(row, (str, Path, bytes)):
        try:
            with image_module.open(io.BytesIO(row) if isinstance(row, bytes) else row) as image:
                return operations.exif_transpose(image).convert("RGB")
        except Exception as error:  # Pillow's decoders raise whatever they like on damaged files
            raise DatasetError(f"{_named(row)} is no image that can be read ({error}): leave it out") from error
    if isinstance(row, image_module.Image):
        return row.convert("RGB")
    return image_module.fromarray(_pixels(row)).convert("RGB")


def is_readable(row: Any) -> bool:
    """Whether a file's or the bytes' header is an image's; damage behind the header shows when it is opened.

    Raises:
        DatasetError: an array that does not have an image's shape or type.
    """
    image_module, _ = _pillow()
    if isinstance(row, image_module.Image):
        return True
    if not isinstance(row, (str, Path, bytes)):
        _pixels(row)
        return True
    try:
        with image_module.open(io.BytesIO(row) if isinstance(row, bytes) else row) as image:
            image.verify()
    except Exception:  # Pillow's decoders raise whatever they like on damaged files; the caller counts them
        return False
    return True


def _pixels(row: Any) -> Any:
    """The array as (H, W) or (H, W, 3 or 4) uint8."""
    array = np.asarray(row)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise DatasetError(
            f"got an image as {array.dtype} of shape {array.shape}; wanted uint8 (0 to 255) of shape (H, W), (H, W, 3) "
            "or (H, W, 4)"
        )
    return np.ascontiguousarray(array)


def _named(row: str | Path | bytes) -> str:
    return f"an image of {len(row)} bytes" if isinstance(row, bytes) else str(row)


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DatasetError("images need Pillow, which is not installed: pip install 'zoo-graph[images]'") from error
    return Image, ImageOps
