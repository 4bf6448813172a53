import numpy as np
import pytest

from selection.recall.ability import fit_ability
from selection.recall.history import History, _errors, _weighted, learn_history, undescribed, weigh_history
from selection.recall.similarity import Relations, relate
from selection.records import Candidate

NAN = np.nan


def candidates(models: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(f"m{m}") for m in range(models))


def test_leaving_a_dataset_out_leaves_no_trace_of_it():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(12, 4))
    history = learn_history(scores, candidates(12))
    only = np.delete(history.columns.z, 2, axis=1)
    literal = fit_ability(only.sum(axis=1), np.full(12, 3.0), history.metadata, history.variances)
    np.testing.assert_allclose(history.left_out[2].mean, literal.mean)


def test_among_models_measured_everywhere_the_order_is_that_of_the_mean():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(30, 1)) + rng.normal(size=(30, 8))
    history = learn_history(scores, candidates(30))
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    assert np.argsort(history.ability.mean).tolist() == np.argsort(z.mean(axis=1)).tolist()


def test_metadata_that_do_not_help_sway_no_model_with_results():
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(40, 1)) * 2 + rng.normal(size=(40, 10))
    sized = tuple(Candidate(f"m{m}", n_parameters=int(10 ** rng.uniform(6, 9)), family="abc"[m % 3]) for m in range(40))
    history = learn_history(scores, sized)
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    assert not history.described
    assert np.argsort(history.ability.mean).tolist() == np.argsort(z.mean(axis=1)).tolist()


def test_metadata_that_explain_everything_rank_models_without_results():
    rng = np.random.default_rng(5)
    sizes = 10 ** rng.uniform(6, 9, 40)
    scores = np.log10(sizes)[:, None] + 0.1 * rng.normal(size=(40, 6))
    scores[30:] = NAN
    sized = tuple(Candidate(f"m{m}", n_parameters=int(size)) for m, size in enumerate(sizes))
    ability = learn_history(scores, sized).ability
    assert np.corrcoef(ability.mean[30:], np.log10(sizes[30:]))[0, 1] > 0.99
    assert ability.slope > 0.4


def two_kinds(seed: int, datasets: int = 12, hidden: float = 0.0) -> tuple[History, Relations, np.ndarray]:
    """Who wins depends on which of two kinds a dataset is of; and which (D + 1,), the target of kind 0."""
    rng = np.random.default_rng(seed)
    kind = np.append(np.arange(datasets) % 2, 0)
    scores = rng.normal(size=(40, 2))[:, kind[:-1]] + 0.4 * rng.normal(size=(40, datasets))
    scores[rng.random(scores.shape) < hidden] = NAN
    history = learn_history(scores, candidates(40))
    relations = relate(history.columns.z, {"kind": (kind[:, None] == kind).astype(float)})
    return history, relations, kind


def agreement(ability: np.ndarray, z: np.ndarray) -> float:
    return float(np.corrcoef(ability, z)[0, 1])


@pytest.mark.parametrize("hidden", [0.0, 0.4])
def test_datasets_like_the_target_count_more_where_left_out_ones_were_told_better_so(hidden: float) -> None:
    plain, relations, kind = two_kinds(0, hidden=hidden)
    weighted = weigh_history(plain, relations)
    z = np.nan_to_num(plain.columns.z)
    ours, theirs = z[:, kind[:-1] == 0].mean(axis=1), z[:, kind[:-1] == 1].mean(axis=1)
    assert weighted.strength in (4.0, 8.0)
    assert agreement(weighted.ability.mean, ours) > 0.95 > agreement(plain.ability.mean, ours)
    assert agreement(weighted.ability.mean, theirs) < 0.5
    for d in range(12):
        of_kind = ours if kind[d] == 0 else theirs
        assert agreement(weighted.left_out[d].mean, of_kind) > agreement(plain.left_out[d].mean, of_kind)


@pytest.mark.parametrize("hidden", [0.0, 0.4])
def test_weighted_abilities_are_fitted_from_weighted_sums(hidden: float) -> None:
    plain, relations, _ = two_kinds(1, hidden=hidden)
    weighted = weigh_history(plain, relations)
    z, seen = np.nan_to_num(plain.columns.z), ~np.isnan(plain.columns.z)
    for row, found in [(-1, weighted.ability), (3, weighted.left_out[3])]:
        weights = relations.emphasised(weighted.strength, row)
        count = (seen @ weights) ** 2 / (seen @ weights**2)
        mean = (z @ weights) / (seen @ weights)
        metadata = plain.metadata if plain.described else undescribed(40)
        literal = fit_ability(mean * count, count, metadata, plain.variances)
        np.testing.assert_allclose(found.mean, literal.mean)
        np.testing.assert_allclose(found.variance, literal.variance)
    np.testing.assert_array_equal(weighted.ability.n_results, plain.ability.n_results)
    np.testing.assert_array_equal(weighted.left_out[3].n_results, plain.left_out[3].n_results)


def test_equal_weights_are_no_weights() -> None:
    plain, _, _ = two_kinds(2)
    equal = Relations(np.vstack([1.0 - np.eye(12), np.ones(12)]), np.zeros((13, 12)))
    # Nothing is gained by them, so weighing has to be told to.
    assert weigh_history(plain, equal) is plain


def test_a_dataset_that_agrees_with_none_counts_less_without_any_similarity() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(40, 1)) + 0.3 * rng.normal(size=(40, 12))
    scores[:, 0] = rng.normal(size=40)
    history = learn_history(scores, candidates(40))
    weighted = weigh_history(history, relate(history.columns.z, {}))
    assert weighted.strength == 0.0
    sound = history.columns.z[:, 1:].mean(axis=1)
    assert agreement(weighted.ability.mean, sound) > agreement(history.ability.mean, sound)


def test_a_gain_within_one_standard_error_weighs_nothing() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(40, 1)) + 0.3 * rng.normal(size=(40, 10))
    scores[:, :4] = rng.normal(size=(40, 4))
    plain = learn_history(scores, candidates(40))
    relations = relate(plain.columns.z, {})
    usable = np.arange(10)
    weighted = _weighted(plain, relations, 0.0)
    saved = _errors(plain, usable) - _errors(weighted, usable)
    assert 0 < saved.mean() < saved.std(ddof=1) / np.sqrt(10)
    assert weigh_history(plain, relations) is plain


def test_four_datasets_are_too_few_to_tell_what_weighs() -> None:
    plain, relations, _ = two_kinds(0, datasets=4)
    assert weigh_history(plain, relations) is plain
    assert weigh_history(*two_kinds(0, datasets=6)[:2]).strength is not None


def test_a_left_out_datasets_results_reach_its_weighted_ability_by_the_variances_alone() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(30, 1)) + 0.4 * rng.normal(size=(30, 10))
    scores[:, :3] = rng.normal(size=(30, 3))
    changed = scores.copy()
    changed[:, 7] = rng.normal(size=30)
    found = []
    for one in (scores, changed):
        history = learn_history(one, candidates(30))
        found.append(weigh_history(history, relate(history.columns.z, {})))
    assert found[0].strength == found[1].strength == 0.0
    assert agreement(found[0].left_out[7].mean, found[1].left_out[7].mean) > 1 - 1e-9
    assert agreement(found[0].left_out[6].mean, found[1].left_out[6].mean) < 0.999


def test_what_is_believed_of_a_model_without_results_stands() -> None:
    rng = np.random.default_rng(6)
    sizes = 10 ** rng.uniform(6, 9, 40)
    scores = np.log10(sizes)[:, None] + rng.normal(size=(40, 1)) + 0.3 * rng.normal(size=(40, 10))
    scores[:, 0] = rng.normal(size=40)
    scores[5] = NAN
    plain = learn_history(scores, tuple(Candidate(f"m{m}", n_parameters=int(size)) for m, size in enumerate(sizes)))
    weighted = weigh_history(plain, relate(plain.columns.z, {}))
    assert weighted.strength == 0.0
    assert weighted.ability.mean[5] == plain.ability.mean[5] != 0
    assert weighted.ability.variance[5] == plain.ability.variance[5]
    assert (weighted.ability.mean != plain.ability.mean).sum() == 39
