"""Which rates are tried, where the search among them ends, and that it can be killed and paused as all else can."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selection import finetune
from selection.datasets import Dataset
from selection.errors import TrialError
from selection.finetune import FineTuner
from selection.rates import family_rates, rate_share, search_end, with_each_rate, with_rate
from selection.records import Candidate, Progress, Recipe, Trial
from selection.training import Training

TrialOf = Callable[..., Trial]
FACTORS = (0.0001, 1.0, 2.0)


def shown(progress: Progress) -> tuple[Any, ...]:
    return progress.step, progress.curve_steps, progress.curve


def state(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("state-*.pt")
    found: dict[str, Any] = torch.load(path, weights_only=True)["model"]
    return found


def test_a_familys_rates_multiply_both_only_where_they_are_asked_for() -> None:
    recipe = Recipe(learning_rate=1e-4, head_learning_rate=1e-2)
    assert family_rates(recipe, "electra") == (1e-4, 1e-2)
    asked = replace(recipe, family_rate=True)
    assert family_rates(asked, "electra") == pytest.approx((3e-4, 3e-2))
    assert family_rates(asked, "a family of tomorrow") == (1e-4, 1e-2)


def test_a_trials_rates_are_its_familys(tmp_path: Path, texts: Dataset, trial_of: TrialOf) -> None:
    from tiny import bert_tokenizer, made, save
    from transformers import ElectraConfig, ElectraModel

    config = ElectraConfig(
        vocab_size=21, hidden_size=8, embedding_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    folder = save(tmp_path / "electra", made(lambda: ElectraModel(config)), bert_tokenizer())
    training = Training(trial_of(folder, warmup_steps=0, family_rate=True), texts, "cpu")
    training.advance(0, 1)
    assert [group["lr"] for group in training.optimizer.param_groups] == pytest.approx([6e-2, 1.5e-2])


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(total_steps=16, warmup_steps=2, cooldown=0.25)
    assert [rate_share(recipe, step) for step in (1, 2, 3, 12, 13, 15, 16)] == [0.5, 1, 1, 1, 1, 0.5, 0.25]
    level = replace(recipe, cooldown=0.0)
    assert [rate_share(level, step) for step in (2, 13, 16)] == [1, 1, 1]


def test_rates_are_compared_at_the_first_evaluation_that_says_anything() -> None:
    recipe = Recipe(total_steps=80, warmup_steps=8, rate_factors=(1, 3))
    trial = Trial(Candidate("m"), recipe, (10, 20, 40, 80))
    assert search_end(trial) == 20
    assert search_end(replace(trial, recipe=replace(recipe, warmup_steps=0, total_steps=320))) == 20
    assert search_end(replace(trial, recipe=replace(recipe, warmup_steps=60))) == 80
    assert search_end(replace(trial, recipe=replace(recipe, rate_factors=()))) == 0


def test_each_factor_multiplies_both_rates() -> None:
    trial = Trial(Candidate("m"), Recipe(learning_rate=1e-4, head_learning_rate=1e-2, rate_factors=(0.5, 2)), (1,))
    found = [(one.recipe.learning_rate, one.recipe.head_learning_rate) for one in with_each_rate(trial)]
    assert found == [(5e-5, 5e-3), (2e-4, 2e-2)]
    assert all(one.recipe.rate_factors == () for one in with_each_rate(trial))


@pytest.mark.parametrize("method", ["full", "head"])
def test_the_best_rate_at_the_searchs_end_goes_on(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf, method: str
) -> None:
    trial = replace(trial_of(bert, method=method, total_steps=32, rate_factors=FACTORS), eval_steps=(6, 24, 32))
    trial = replace(trial, recipe=replace(trial.recipe, warmup_steps=12))
    each = [FineTuner(texts).complete(one)[0] for one in with_each_rate(trial)]
    scores = [one.curve[1] for one in each]
    assert search_end(trial) == 24
    best = scores.index(max(scores))
    assert best > 0  # the first hardly moves
    found = FineTuner(texts).train(trial, 32, tmp_path)
    assert shown(found) == shown(each[best])
    assert found.rate_factor == FACTORS[best]
    complete, _ = FineTuner(texts).complete(trial)
    assert shown(complete) == shown(found)


def test_a_search_paused_anywhere_equals_one_never_paused(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial = trial_of(bert, rate_factors=FACTORS)
    whole = FineTuner(texts).train(trial, 12, tmp_path / "whole")
    for step in (2, 4, 6, 9, 12):  # rates are compared at 6
        paused = FineTuner(texts).train(trial, step, tmp_path / "paused")
        assert paused.step == step
    assert shown(paused) == shown(whole)
    one, two = state(tmp_path / "paused"), state(tmp_path / "whole")
    assert all(torch.equal(one[key], two[key]) for key in two)
    assert sorted(path.name for path in (tmp_path / "paused").iterdir()) == [
        "progress.json",
        "rate.json",
        "state-12.pt",
    ]
    assert FineTuner(texts).test(trial, tmp_path / "paused") == FineTuner(texts).test(trial, tmp_path / "whole")


def test_only_the_best_rates_state_is_kept_once_it_is_known(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    FineTuner(texts).train(trial_of(bert, rate_factors=FACTORS), 6, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.json", "rate.json", "state-6.pt"]


def test_what_the_losing_rates_took_counts(tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    trial = trial_of(bert, rate_factors=(1.0, 1e-4))
    end = search_end(trial)
    alone = FineTuner(texts).train(with_rate(trial, 1.0), end, tmp_path / "alone")
    both = FineTuner(texts).train(trial, end, tmp_path / "both")
    assert both.cpu_seconds > alone.cpu_seconds


class Killed(BaseException):
    """Ends a piece at a chosen place, as a kill does."""


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_kill_at_any_write_of_a_search_leaves_it_to_go_on_to_the_same_numbers(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    trial, tuner = trial_of(bert, rate_factors=(1.0, 2.0)), FineTuner(texts)
    whole = tuner.train(trial, 12, tmp_path / "whole")
    real, count = finetune._write_json, 0

    def killed(path: Path, fields: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        if count == nth:
            raise Killed
        real(path, fields)

    # Writes: the progress of both rates and of the best, the choice, the progress at the end.
    monkeypatch.setattr(finetune, "_write_json", killed)
    if nth <= 5:
        with pytest.raises(Killed):
            tuner.train(trial, 12, tmp_path / "t")
    monkeypatch.setattr(finetune, "_write_json", real)
    assert shown(tuner.train(trial, 12, tmp_path / "t")) == shown(whole)
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["progress.json", "rate.json", "state-12.pt"]


def test_a_trial_discarded_during_or_after_its_search_can_be_trained_again(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial, tuner = trial_of(bert, rate_factors=FACTORS), FineTuner(texts)
    whole = tuner.train(trial, 12, tmp_path / "whole")
    for step in (3, 6, 9):
        folder = tmp_path / str(step)
        tuner.train(trial, step, folder)
        tuner.discard(folder)
        assert not list(folder.rglob("state*"))
        assert shown(tuner.train(trial, 12, folder)) == shown(whole)


def test_a_rate_that_diverges_has_lost_and_a_trial_where_all_do_fails(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    trial = trial_of(bert, rate_factors=(1e30, 1.0), warmup_steps=0)
    for progress in (FineTuner(texts).train(trial, 12, tmp_path / "t"), FineTuner(texts).complete(trial)[0]):
        assert shown(progress) == shown(FineTuner(texts).complete(with_rate(trial, 1.0))[0])
    hopeless = trial_of(bert, rate_factors=(1e30, 1e31), warmup_steps=0)
    with pytest.raises(TrialError, match=r"(logits are|loss is)"):
        FineTuner(texts).train(hopeless, 12, tmp_path / "u")
    with pytest.raises(TrialError, match=r"(logits are|loss is)"):
        FineTuner(texts).complete(hopeless)
