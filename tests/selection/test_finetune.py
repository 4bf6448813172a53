import json
import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import some_texts

from selection import finetune, training
from selection.datasets import Dataset
from selection.errors import DatasetError, InputError, TrialError
from selection.finetune import FineTuner, read_progress
from selection.records import Progress, Trial

TrialOf = Callable[..., Trial]
VARIANTS = [
    {"head": "mean", "method": "full"},
    {"head": "native", "method": "full"},
    {"head": "mean", "method": "head"},
    {"head": "mean", "precision": "bfloat16"},
]


def weights(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("state-*.pt")
    state: dict[str, Any] = torch.load(path, weights_only=True)["model"]
    return state


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def results(progress: Progress) -> tuple[Any, ...]:
    return progress.step, progress.curve_steps, progress.curve


@contextmanager
def no_file_over(n_bytes: int) -> Iterator[None]:
    """The nearest thing to a full disk that a test may have: writes past `n_bytes` fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(v.values()))
def test_a_paused_trial_equals_one_never_paused_bit_for_bit(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf, variant: dict[str, str]
) -> None:
    trial, tuner = trial_of(bert, **variant), FineTuner(texts)
    whole = tuner.train(trial, 12, tmp_path / "whole")
    for step in (1, 3, 7, 12):  # inside and across epochs of five batches
        paused = FineTuner(texts).train(trial, step, tmp_path / "paused")
    assert results(paused) == results(whole)
    assert whole.curve_steps == (3, 6, 12)
    assert same(weights(tmp_path / "paused"), weights(tmp_path / "whole"))
    assert tuner.test(trial, tmp_path / "paused") == tuner.test(trial, tmp_path / "whole")
    assert results(tuner.complete(trial)[0]) == results(whole)


def test_an_image_encoder_with_running_statistics_pauses_too(
    tmp_path: Path, pictures: Dataset, resnet: Path, trial_of: TrialOf
) -> None:
    tuner = FineTuner(pictures)
    for method in ("full", "head"):
        trial = trial_of(resnet, method=method)
        whole = tuner.train(trial, 6, tmp_path / method / "whole")
        for step in (2, 6):
            paused = tuner.train(trial, step, tmp_path / method / "paused")
        assert results(paused) == results(whole)
        assert same(weights(tmp_path / method / "paused"), weights(tmp_path / method / "whole"))


def test_a_fine_tune_learns_what_the_last_word_tells(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial = replace(trial_of(bert, total_steps=40), eval_steps=(40,))
    progress, test_score = FineTuner(texts).complete(trial)
    assert progress.score > 0.85
    assert test_score > 0.85
    assert progress.seconds > 0
    assert progress.cpu_seconds > 0


def test_head_only_training_leaves_the_encoder_as_it_was(
    tmp_path: Path, texts: Dataset, pictures: Dataset, bert: Path, resnet: Path, trial_of: TrialOf
) -> None:
    for folder, data, prefix in ((bert, texts, "bert."), (resnet, pictures, "resnet.")):
        trial = trial_of(folder, method="head")
        FineTuner(data).train(trial, 4, tmp_path / prefix)
        fresh = training.Training(trial, data, "cpu").model.state_dict()
        moved = {key for key, value in weights(tmp_path / prefix).items() if not torch.equal(value, fresh[key])}
        assert moved
        assert not {key for key in moved if key.startswith(prefix)}


def test_the_seed_decides_the_numbers(tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        FineTuner(texts).train(trial_of(bert, seed=seed), 3, tmp_path / name)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_nothing_global_is_touched_and_nothing_is_said(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads()  # type: ignore[union-attr, index]  # noqa: NPY002
    trial, tuner = trial_of(bert), FineTuner(texts)
    tuner.train(trial, 3, tmp_path / "t")
    tuner.test(trial, tmp_path / "t")
    tuner.save(trial, tmp_path / "t", tmp_path / "best")
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads())  # type: ignore[union-attr, index]  # noqa: NPY002
    assert capfd.readouterr() == ("", "")


def test_what_is_trained_is_not_trained_again(tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    trial = trial_of(bert)
    done = FineTuner(texts).train(trial, 6, tmp_path)
    stamp = (tmp_path / "state-6.pt").stat().st_mtime_ns
    assert FineTuner(texts).train(trial, 3, tmp_path) == done == read_progress(tmp_path)
    assert FineTuner(texts).train(trial, 6, tmp_path) == done
    assert (tmp_path / "state-6.pt").stat().st_mtime_ns == stamp


class Killed(BaseException):
    """Ends a piece at a chosen place, as a kill does."""


@pytest.mark.parametrize("place", ["save", "_write_progress", "_drop_states"])
def test_a_kill_at_any_write_leaves_a_trial_that_goes_on_to_the_same_numbers(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf, place: str
) -> None:
    trial, tuner = trial_of(bert), FineTuner(texts)
    whole = tuner.train(trial, 12, tmp_path / "whole")
    tuner.train(trial, 3, tmp_path / "t")
    owner: Any = training.Training if place == "save" else finetune
    real = getattr(owner, place)

    def killed(*arguments: Any, **options: Any) -> None:
        if place == "save":
            (tmp_path / "t" / "state.part").write_bytes(b"half of it")
        raise Killed

    setattr(owner, place, killed)
    try:
        with pytest.raises(Killed):
            tuner.train(trial, 6, tmp_path / "t")
    finally:
        setattr(owner, place, real)
    reached = 6 if place == "_drop_states" else 3
    assert read_progress(tmp_path / "t").step == reached
    assert results(tuner.train(trial, 12, tmp_path / "t")) == results(whole)
    assert same(weights(tmp_path / "t"), weights(tmp_path / "whole"))
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["progress.json", "state-12.pt"]


def test_a_discarded_trial_keeps_its_progress_and_can_be_trained_again(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial, tuner = trial_of(bert), FineTuner(texts)
    first = tuner.train(trial, 3, tmp_path / "t")
    tuner.discard(tmp_path / "t")
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["progress.json"]
    assert read_progress(tmp_path / "t") == first
    for ask in (tuner.test, lambda trial, folder: tuner.save(trial, folder, tmp_path / "best")):
        with pytest.raises(TrialError, match="its weights were discarded"):
            ask(trial, tmp_path / "t")
    again = tuner.train(trial, 6, tmp_path / "t")
    whole = tuner.train(trial, 6, tmp_path / "whole")
    assert results(again) == results(whole)
    assert again.seconds > first.seconds
    assert same(weights(tmp_path / "t"), weights(tmp_path / "whole"))


def test_a_discarded_trial_is_trained_again_to_a_step_it_had_reached(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial, tuner = trial_of(bert), FineTuner(texts)
    first, trained, score = (
        tuner.train(trial, 6, tmp_path / "t"),
        weights(tmp_path / "t"),
        tuner.test(trial, tmp_path / "t"),
    )
    tuner.discard(tmp_path / "t")
    again = tuner.train(trial, 6, tmp_path / "t")
    assert results(again) == results(first)
    assert again.seconds > first.seconds
    assert same(weights(tmp_path / "t"), trained)
    assert tuner.test(trial, tmp_path / "t") == score
    assert tuner.train(trial, 6, tmp_path / "t") == again  # and not once more


def test_an_untrained_trial_cannot_be_tested_or_saved(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    with pytest.raises(TrialError, match="bert on toy: it has not been trained in"):
        FineTuner(texts).test(trial_of(bert), tmp_path / "t")
    with pytest.raises(TrialError, match="it has not been trained in"):
        FineTuner(texts).save(trial_of(bert), tmp_path / "t", tmp_path / "best")


@pytest.mark.parametrize("until_step", [3, 6])
@pytest.mark.parametrize("damaged", [lambda state: state[:5000], lambda state: b"x" * len(state), lambda state: b""])
def test_a_trial_whose_state_is_damaged_is_trained_anew_and_the_log_says_so(
    tmp_path: Path,
    texts: Dataset,
    bert: Path,
    trial_of: TrialOf,
    caplog: pytest.LogCaptureFixture,
    damaged: Callable[[bytes], bytes],
    until_step: int,
) -> None:
    trial, tuner = trial_of(bert), FineTuner(texts)
    first = tuner.train(trial, 3, tmp_path / "t")
    whole = tuner.train(trial, until_step, tmp_path / "whole")
    state = tmp_path / "t" / "state-3.pt"
    state.write_bytes(damaged(state.read_bytes()))
    again = tuner.train(trial, until_step, tmp_path / "t")
    assert results(again) == results(whole)
    assert again.seconds > first.seconds
    assert same(weights(tmp_path / "t"), weights(tmp_path / "whole"))
    (told,) = caplog.messages
    assert "state-3.pt does not load" in told
    assert "made anew" in told


def test_damaged_features_of_a_head_are_computed_anew(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial, tuner = trial_of(bert, method="head"), FineTuner(texts)
    whole = tuner.train(trial, 6, tmp_path / "whole")
    tuner.train(trial, 3, tmp_path / "t")
    kept = sorted((tmp_path / "t").glob("features-*.pt"))
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    assert results(tuner.train(trial, 6, tmp_path / "t")) == results(whole)


def test_what_a_candidate_cannot_do_is_its_own_failure(
    tmp_path: Path, texts: Dataset, pictures: Dataset, bert: Path, vit: Path, trial_of: TrialOf
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(bert, torn)
    (torn / "model.safetensors").write_bytes(b"x" * 64)
    unknown = Trial(replace(trial_of(bert).candidate, source=None), trial_of(bert).recipe, (12,))
    for data, trial, message in (
        (texts, trial_of(vit), "vit on toy: it reads image and the dataset holds text"),
        (pictures, trial_of(bert), "bert on pictures: it reads text and the dataset holds image"),
        (texts, trial_of(torn), "does not load as a checkpoint"),
        (texts, trial_of(tmp_path / "nowhere"), "no checkpoint at"),
        (texts, unknown, "bert on toy: the zoo does not know where its weights are"),
        (texts, trial_of(bert, learning_rate=1e30, warmup_steps=0), r"bert on toy: its (loss is|logits are) "),
    ):
        with pytest.raises(TrialError, match=message):
            FineTuner(data).train(trial, 12, tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("error", [TypeError("unexpected keyword"), AttributeError("no such"), MemoryError("full")])
def test_whatever_a_checkpoints_code_raises_is_its_own_failure(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr(training.Training, "advance", broken)
    with pytest.raises(TrialError, match=f"bert on toy: {type(error).__name__}: {error}"):
        FineTuner(texts).train(trial_of(bert), 3, tmp_path)


def test_an_unknown_metric_is_the_callers_mistake(texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    with pytest.raises(InputError, match="got the metric 'f2'; wanted one of accuracy, macro_f1, mcc"):
        FineTuner(texts).complete(trial_of(bert, metric="f2"))


def test_an_image_that_vanished_is_the_datasets_fault(
    tmp_path: Path, pictures: Dataset, vit: Path, trial_of: TrialOf
) -> None:
    data = replace(pictures, rows=tuple(tmp_path / "gone.png" for _ in pictures.rows))
    with pytest.raises(DatasetError, match=r"gone\.png is no image"):
        FineTuner(data).complete(trial_of(vit))


def test_a_full_disk_is_nobodys_failure_and_nothing_is_lost(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial, tuner = trial_of(bert), FineTuner(texts)
    before = tuner.train(trial, 3, tmp_path / "t")
    with no_file_over(20_000), pytest.raises(OSError, match="t"):
        tuner.train(trial, 6, tmp_path / "t")
    assert read_progress(tmp_path / "t") == before
    with no_file_over(20_000), pytest.raises(OSError, match="t"):
        tuner.save(trial, tmp_path / "t", tmp_path / "best")
    assert not (tmp_path / "best").exists()
    whole = tuner.train(trial, 6, tmp_path / "whole")
    assert results(tuner.train(trial, 6, tmp_path / "t")) == results(whole)


def test_a_family_without_token_classification_gets_its_native_head(
    tmp_path: Path, texts: Dataset, opt: Path, bert: Path, vit: Path, trial_of: TrialOf
) -> None:
    tuner = FineTuner(texts)
    assert [tuner.head(trial_of(folder)) for folder in (bert, opt, vit)] == ["mean", "native", "native"]
    tuner.train(trial_of(opt), 3, tmp_path / "t")
    tuner.save(trial_of(opt), tmp_path / "t", tmp_path / "best")
    config = json.loads((tmp_path / "best" / "config.json").read_text())
    assert config["architectures"] == ["OPTForSequenceClassification"]


def test_padding_does_not_move_what_a_native_head_reads(texts: Dataset, decoder: Path, trial_of: TrialOf) -> None:
    headed = training.Training(trial_of(decoder, head="native"), texts, "cpu").headed
    rows = some_texts(12, seed=4)[0]
    together = headed.score(headed.encoded(rows))
    alone = np.concatenate([headed.score(headed.encoded([row])) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_text_longer_than_the_models_positions_is_cut(bert: Path, texts: Dataset, trial_of: TrialOf) -> None:
    data = replace(texts, rows=tuple(row + " cat" * 200 for row in texts.rows))
    progress, _ = FineTuner(data).complete(trial_of(bert, max_length=512, total_steps=2))
    assert progress.step == 2


def test_a_dead_target_folder_is_replaced(tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    trial, tuner = trial_of(bert), FineTuner(texts)
    tuner.train(trial, 3, tmp_path / "t")
    for leftover in ("best", "best.part"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "old").write_text("x")
    tuner.save(trial, tmp_path / "t", tmp_path / "best")
    assert "old" not in os.listdir(tmp_path / "best")
    assert not (tmp_path / "best.part").exists()
