import numpy as np
import pytest
import torch
from torch.nn import functional

from selection.datasets import from_rows
from selection.losses import ClassLoss, NumberLoss, loss_of


def test_a_balanced_weight_is_the_inverse_of_the_classs_share() -> None:
    data = from_rows("d", "text", [f"t{i}" for i in range(100)], ["rare", *["often"] * 4] * 20)
    loss = loss_of(data, "balanced", "cpu")
    assert isinstance(loss, ClassLoss)
    assert loss.weights is not None
    rows = np.bincount(data.labels[data.train])
    np.testing.assert_allclose(loss.weights.numpy() * rows, rows.sum() / 2, rtol=1e-6)
    logits, labels = torch.tensor([[1.0, 0], [0, 2], [1, 1]]), np.array([0, 1, 1])
    each = functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
    shares = loss.weights[labels]
    assert float(loss(logits, labels)) == pytest.approx(float((each * shares).sum() / shares.sum()))


def test_without_class_weights_the_loss_is_plain_cross_entropy() -> None:
    data = from_rows("d", "text", [f"t{i}" for i in range(20)], ["a", "b"] * 10)
    loss = loss_of(data, "none", "cpu")
    logits = torch.tensor([[1.0, 0], [0, 2]])
    assert torch.equal(loss(logits, np.array([0, 0])), functional.cross_entropy(logits, torch.tensor([0, 0])))
    assert loss.predicted(logits.numpy()).tolist() == [0, 1]


def test_a_class_that_training_lacks_has_no_weight_that_matters() -> None:
    labels, parts = ["a", "b"] * 8 + ["c"] * 4, ["train"] * 12 + ["validation"] * 4 + ["test"] * 4
    loss = loss_of(from_rows("d", "text", [f"t{i}" for i in range(20)], labels, parts=parts), "balanced", "cpu")
    assert isinstance(loss, ClassLoss)
    assert loss.weights is not None
    assert loss.weights[:2].tolist() == [1, 1]


def test_a_number_is_standardised_for_the_loss_and_read_back_in_its_unit() -> None:
    loss = NumberLoss(mean=10, scale=4)
    logits = torch.tensor([[0.5], [-1.0]])
    assert float(loss(logits, np.array([12.0, 10.0]))) == pytest.approx(0.5)  # (0, -1) squared, averaged
    assert loss.predicted(logits.numpy()).tolist() == [12, 6]


def test_mean_and_scale_are_those_of_the_train_part_alone() -> None:
    labels = [i * 0.1 for i in range(80)] + [1e6] * 20
    parts = ["train"] * 60 + ["validation"] * 20 + ["test"] * 20
    loss = loss_of(from_rows("d", "text", [f"t{i}" for i in range(100)], labels, parts=parts), "none", "cpu")
    assert loss == NumberLoss(float(np.mean(labels[:60])), float(np.std(labels[:60])))
