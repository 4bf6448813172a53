import numpy as np
import pytest
import torch
from tiny import image_processor, some_images

from selection import encoded
from selection.encoded import EncodedImages, EncodedTexts


def test_texts_are_padded_at_the_end_to_the_longest_of_the_batch() -> None:
    texts = EncodedTexts([[5, 6], [7], [1, 2, 3, 4], [8, 9, 9]], pad=0, device="cpu")
    assert texts.lengths.tolist() == [2, 1, 4, 3]
    inputs = texts.inputs(np.array([3, 1]))
    assert inputs["input_ids"].tolist() == [[8, 9, 9], [7, 0, 0]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert inputs["input_ids"].dtype == inputs["attention_mask"].dtype == torch.int64
    assert texts.inputs(np.array([1]))["input_ids"].tolist() == [[7]]


def test_pixels_are_the_same_whether_they_fit_or_are_read_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, processor, calls = some_images(70)[0], image_processor(), []

    def preprocess(some: object) -> object:
        calls.append(1)
        return processor(some, return_tensors="pt")

    kept = EncodedImages(rows, preprocess, "cpu")
    monkeypatch.setattr(encoded, "free_bytes", lambda device: 1000)
    read = EncodedImages(rows, preprocess, "cpu")
    n_before = len(calls)
    batch = np.array([65, 3, 3])
    one = kept.inputs(batch)["pixel_values"]
    assert len(calls) == n_before
    assert torch.equal(one, read.inputs(batch)["pixel_values"])
    assert len(calls) == n_before + 1
