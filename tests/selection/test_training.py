"""What one step does: its learning rate, its clipped gradient, its batch; and which rows a curve is scored on."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from selection.datasets import Dataset
from selection.records import Trial
from selection.training import Training

TrialOf = Callable[..., Trial]


def rates(training: Training) -> list[float]:
    """Learning rates of the head and, where it is trained, of the encoder."""
    return [group["lr"] for group in training.optimizer.param_groups]


def gradients(training: Training) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in training.model.parameters() if p.grad is not None])


def test_the_learning_rates_rise_in_a_line_over_the_warm_up_and_then_stay(
    texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial = trial_of(bert, warmup_steps=4, head_learning_rate=0.02, learning_rate=0.008)
    training = Training(trial, texts, "cpu")
    seen = []
    for step in range(6):
        training.advance(step, step + 1)
        seen.append(rates(training))
    assert seen == [pytest.approx([0.02 * share, 0.008 * share]) for share in (0.25, 0.5, 0.75, 1, 1, 1)]


def test_without_a_warm_up_the_first_step_has_the_full_rate(texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    training = Training(trial_of(bert, warmup_steps=0, method="head", head_learning_rate=0.02), texts, "cpu")
    training.advance(0, 1)
    assert rates(training) == [0.02]


def test_a_gradient_above_one_is_cut_to_one(texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    training = Training(trial_of(bert), texts, "cpu")
    with torch.no_grad():
        training.model.classifier.weight.mul_(100)  # steep: the gradient of the encoder grows with it
    training.advance(0, 1)
    assert float(gradients(training).norm()) == pytest.approx(1, abs=1e-4)


def test_a_gradient_below_one_stays_as_it_is(texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    training = Training(trial_of(bert, method="head"), texts, "cpu")
    training.advance(0, 1)
    assert 0 < float(gradients(training).norm()) < 0.99


def test_the_curve_is_the_score_of_the_validation_rows_at_the_evaluation_points(
    texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    labels = texts.labels.copy()
    labels[texts.test] = 1 - labels[texts.test]
    training = Training(trial_of(bert), replace(texts, labels=labels), "cpu")
    for step in (3, 6):
        ((at, score),) = training.advance(step - 3, step)
        rows, wanted = texts.part("validation")
        guessed = training.headed.score(training.headed.encoded(rows)).argmax(-1)
        assert (at, score) == (step, np.mean(guessed == wanted))


def test_each_epoch_sees_each_train_row_once_in_an_order_of_its_own(
    texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    training = Training(trial_of(bert), texts, "cpu")
    n = texts.train.size
    per_epoch = -(-n // 8)
    batches = list(islice(training._batches(0), 2 * per_epoch))
    first, second = np.concatenate(batches[:per_epoch]), np.concatenate(batches[per_epoch:])
    assert sorted(first) == sorted(second) == list(range(n))
    assert first.tolist() != second.tolist()
    later = next(training._batches(per_epoch + 1))
    assert later.tolist() == batches[per_epoch + 1].tolist()


def test_a_batch_holds_rows_of_like_length(texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    training = Training(trial_of(bert), texts, "cpu")
    lengths = training.parts.encoded("train", training.headed).lengths
    spreads = [np.ptp(lengths[batch]) for batch in islice(training._batches(0), -(-lengths.size // 8))]
    assert np.mean(spreads) < np.ptp(lengths) / 2
