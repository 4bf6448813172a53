import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selection.errors import DatasetError
from selection.images import is_readable, open_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def two_pixels() -> Image.Image:
    """Red on the left, blue on the right."""
    return Image.fromarray(np.array([[RED, BLUE]], dtype=np.uint8))


def pixels(image: Image.Image) -> list[list[tuple[int, ...]]]:
    return [[tuple(map(int, pixel)) for pixel in row] for row in np.asarray(image)]


def encoded(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png", **options)
    return stream.getvalue()


def test_a_path_bytes_an_array_and_an_image_open_alike(tmp_path: Path) -> None:
    data = encoded(two_pixels())
    (tmp_path / "a.png").write_bytes(data)
    rows = (tmp_path / "a.png", str(tmp_path / "a.png"), data, np.asarray(two_pixels()), two_pixels())
    assert [pixels(open_image(row)) for row in rows] == [[[RED, BLUE]]] * 5
    assert all(map(is_readable, rows))


def test_a_photo_is_turned_upright_by_its_own_note() -> None:
    note = Image.Exif()
    note[0x0112] = 6  # taken with the camera turned: a quarter clockwise makes it upright
    assert pixels(open_image(encoded(two_pixels(), exif=note))) == [[RED], [BLUE]]


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3), (2, 3, 4)])
def test_grey_and_transparent_arrays_become_rgb(shape: tuple[int, ...]) -> None:
    image = open_image(np.full(shape, 9, dtype=np.uint8))
    assert (image.mode, image.size) == ("RGB", (3, 2))
    assert pixels(image)[0][0] == (9, 9, 9)


@pytest.mark.parametrize("array", [np.zeros((3, 2, 2), np.uint8), np.zeros((2, 2)), np.zeros(4, np.uint8)])
def test_an_array_of_another_shape_or_type_is_refused_with_both(array: np.ndarray) -> None:
    for ask in (open_image, is_readable):
        with pytest.raises(DatasetError, match=r"got an image as .* of shape .*wanted uint8"):
            ask(array)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    for row, name in ((tmp_path / "a.png", r"a\.png is no image"), (b"no image", "an image of 8 bytes is no image")):
        assert not is_readable(row)
        with pytest.raises(DatasetError, match=name):
            open_image(row)


def test_damage_behind_the_header_shows_when_it_is_opened() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    torn = encoded(Image.fromarray(noise))[:6000]
    with pytest.raises(DatasetError, match="an image of 6000 bytes is no image that can be read"):
        open_image(torn)
