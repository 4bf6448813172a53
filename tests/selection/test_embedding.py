import numpy as np
import pytest

from selection.datasets import from_rows
from selection.embedding import embed
from selection.errors import InputError

ENGLISH = ["the parcel is late and the driver was rude", "when will my order be delivered", "great service, thank you"]
MORE_ENGLISH = [
    "where is the order that you delivered to the driver",
    "thank you for the great parcel service, it was late",
]
GERMAN = ["das paket ist zu spät und der fahrer war unhöflich", "wann wird meine bestellung geliefert", "danke schön"]


def texts(rows: list[str]):
    many = [f"{row} {n}" for n in range(10) for row in rows]
    return from_rows("x", "text", many, [n % 2 for n in range(len(many))])


def images(colour: tuple[int, int, int], stripes: int):
    generator = np.random.default_rng(0)
    rows = []
    for _ in range(30):
        picture = np.full((40, 40, 3), colour, dtype=np.uint8)
        if stripes:
            picture[:, generator.integers(stripes) :: stripes] = 255
        rows.append(picture)
    return from_rows("y", "image", rows, [n % 2 for n in range(30)])


def cosine(a, b) -> float:
    return float(np.dot(a.vector, b.vector) / np.linalg.norm(a.vector) / np.linalg.norm(b.vector))


def test_texts_of_one_language_and_domain_are_alike():
    one, other, far = (embed(texts(rows)) for rows in (ENGLISH, MORE_ENGLISH, GERMAN))
    assert one.by == other.by == "hashed n-grams 1"
    assert cosine(one, other) > cosine(one, far) + 0.05


def test_images_are_alike_by_colour_and_by_edges():
    red, dark_red, striped = embed(images((200, 0, 0), 0)), embed(images((196, 0, 0), 0)), embed(images((0, 0, 200), 4))
    assert cosine(red, dark_red) > 0.99 > cosine(red, striped)


def test_the_same_rows_give_the_same_vector_and_their_order_hardly_matters():
    assert embed(texts(ENGLISH)) == embed(texts(ENGLISH))
    assert cosine(embed(texts(ENGLISH)), embed(texts(ENGLISH[::-1]))) == pytest.approx(1, abs=0.02)


def test_a_vector_is_short_enough_to_be_kept_as_text():
    assert [len(embed(one).vector) for one in (texts(ENGLISH), images((200, 0, 0), 4))] == [256, 96]
    vector = embed(texts(ENGLISH)).vector
    assert len(str(vector)) < 2500
    assert vector == tuple(round(number, 4) for number in vector)


def test_case_and_spaces_of_texts_do_not_count():
    spread = [row.upper().replace(" ", "\n ") for row in ENGLISH]
    assert embed(texts(ENGLISH)) == embed(texts(spread))


def test_an_encoder_for_something_else_is_refused():
    class Images:
        name, modality, digest = "vit", "image", "d"

    with pytest.raises(InputError, match="got the encoder vit, which reads image; wanted one for text"):
        embed(texts(ENGLISH), encoder=Images())
