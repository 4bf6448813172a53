from collections.abc import Mapping

import numpy as np
import pytest
from scipy.optimize import nnls

from selection.recall.similarity import Relations, relate

NAN = np.nan


def standardised(seed: int, models: int = 20, datasets: int = 7, hidden: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(models, 1)) + rng.normal(size=(models, datasets))
    scores[rng.random(scores.shape) < hidden] = NAN
    return (scores - np.nanmean(scores, axis=0)) / np.nanstd(scores, axis=0)


def two_kinds(seed: int, datasets: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """z of datasets that are by turns of two kinds, who wins depending on it; and which (D,)."""
    rng = np.random.default_rng(seed)
    kind = np.arange(datasets) % 2
    scores = rng.normal(size=(50, 1)) + rng.normal(size=(50, 2))[:, kind] + 0.4 * rng.normal(size=(50, datasets))
    return (scores - scores.mean(axis=0)) / scores.std(axis=0), kind


def alike(kind: np.ndarray, target: int) -> np.ndarray:
    kinds = np.append(kind, target)
    return (kinds[:, None] == kinds).astype(float)


def literal_weights(z: np.ndarray) -> np.ndarray:
    """(D,): each dataset by its correlation with the sum of the others, over the models it has."""
    found = np.zeros(z.shape[1])
    for e, column in enumerate(z.T):
        seen = ~np.isnan(column)
        others = np.nansum(np.delete(z, e, axis=1), axis=1)[seen]
        tells = seen.sum() >= 3 and others.std() > 1e-9
        r = np.clip(np.corrcoef(column[seen], others)[0, 1], 0.02, 0.97) if tells else 0.02
        found[e] = r / (1 - r**2)
    return found


def literal_correlations(z: np.ndarray, similarity: Mapping[str, np.ndarray]) -> np.ndarray:
    """(D + 1, D): nonnegative ridge over pairs of datasets, one by one, without those of the dataset left out."""
    n_datasets = z.shape[1]
    filled, seen = np.nan_to_num(z), ~np.isnan(z)
    weights = np.sqrt(literal_weights(z))
    shared = np.array([np.average(row[here], weights=weights[here]) for row, here in zip(z, seen, strict=True)])
    shared = (shared - shared.mean()) / shared.std()
    left = np.zeros_like(filled)
    for d in range(n_datasets):
        here = seen[:, d]
        left[here, d] = z[here, d] - shared[here] * (shared[here] @ z[here, d]) / (shared[here] @ shared[here])
    left /= np.linalg.norm(left, axis=0)

    def features(d: int, e: int) -> list[float]:
        return [*(float(np.nan_to_num(similarity[name][d, e])) for name in sorted(similarity)), 1.0, -1.0]

    expected = np.zeros((n_datasets + 1, n_datasets))
    for row in range(n_datasets + 1):
        pairs = [(d, e) for d in range(n_datasets) for e in range(d) if row not in (d, e)]
        width = len(similarity) + 2
        design = np.array([features(d, e) for d, e in pairs] + np.sqrt(0.25 * np.eye(width)).tolist())
        wanted = [left[:, d] @ left[:, e] for d, e in pairs] + [0.0] * width
        solution = nnls(design, np.array(wanted))[0]
        for e in range(n_datasets):
            expected[row, e] = np.array(features(row, e)) @ solution if e != row else 0.0
    return expected


def test_a_dataset_weighs_by_its_agreement_with_the_sum_of_the_others() -> None:
    twin, stranger = [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]
    weight = relate(np.array([twin, twin, stranger]).T, {}).weight
    least = 0.02 / (1 - 0.02**2)
    # A twin with (2, 0, 0, -2): r = sqrt(1/2); the stranger with (2, 2, -2, -2): r = 0.
    np.testing.assert_allclose(weight[-1], [np.sqrt(0.5) / 0.5, np.sqrt(0.5) / 0.5, least])
    # Without the stranger the twins agree wholly (r cut to .97); without a twin nobody agrees.
    np.testing.assert_allclose(weight[2], [0.97 / (1 - 0.97**2), 0.97 / (1 - 0.97**2), 0])
    np.testing.assert_allclose(weight[0], [0, least, least])


@pytest.mark.parametrize("hidden", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_weights_without_a_dataset_are_those_of_a_zoo_that_never_had_it(seed: int, hidden: float) -> None:
    z = standardised(seed, hidden=hidden)
    weight = relate(z, {}).weight
    np.testing.assert_allclose(weight[-1], literal_weights(z), rtol=1e-6)
    for d in range(z.shape[1]):
        assert weight[d, d] == 0
        np.testing.assert_allclose(np.delete(weight[d], d), literal_weights(np.delete(z, d, axis=1)), rtol=1e-6)


def test_a_datasets_own_results_do_not_reach_its_row_of_weights() -> None:
    z = standardised(0)
    changed = z.copy()
    changed[:, 2] = standardised(1)[:, 2]
    ours, theirs = relate(z, {}).weight, relate(changed, {}).weight
    np.testing.assert_allclose(ours[2], theirs[2])
    assert not np.allclose(ours[-1], theirs[-1])


def test_two_models_are_too_few_to_agree_on() -> None:
    z = standardised(0, models=8, datasets=5)
    z[2:, 1] = NAN
    others = np.delete(z, 1, axis=1)[:2].sum(axis=1)
    z[:2, 1] = np.sign(others - others.mean())  # which is all the agreement there can be
    assert relate(z, {}).weight[-1, 1] == pytest.approx(0.02 / (1 - 0.02**2))


def test_a_dataset_without_results_weighs_nothing_and_moves_no_weight() -> None:
    z = standardised(0)
    with_empty = relate(np.column_stack([z, np.full(20, NAN)]), {}).weight
    assert not with_empty[:, -1].any()
    np.testing.assert_allclose(with_empty[-1, :-1], relate(z, {}).weight[-1])


@pytest.mark.parametrize("hidden", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_the_literal_least_squares_over_pairs(seed: int, hidden: float) -> None:
    z = standardised(seed, hidden=hidden)
    rng = np.random.default_rng(100 + seed)
    bases = {}
    for name in "abc":
        values = rng.uniform(size=(8, 8))
        bases[name] = (values + values.T) / 2
    bases["b"][1, 3] = bases["b"][3, 1] = NAN
    np.testing.assert_allclose(relate(z, bases).correlation, literal_correlations(z, bases), atol=1e-7)


def test_datasets_of_the_targets_kind_should_rank_models_as_it_does() -> None:
    z, kind = two_kinds(0)
    for target in (0, 1):
        expected = relate(z, {"kind": alike(kind, target)}).correlation[-1]
        assert expected[kind == target].min() > expected[kind != target].max() + 0.5


def test_a_dataset_left_out_is_told_its_kin_by_the_others() -> None:
    z, kind = two_kinds(1)
    expected = relate(z, {"kind": alike(kind, 0)}).correlation[:-1]
    for d in range(12):
        kin = (kind == kind[d]) & (np.arange(12) != d)
        assert expected[d][kin].min() > expected[d][kind != kind[d]].max() + 0.5
        assert expected[d, d] == 0


def test_a_similarity_that_tells_the_wrong_way_counts_nothing() -> None:
    z, kind = two_kinds(2)
    expected = relate(z, {"unlike": 1 - alike(kind, 0)}).correlation[-1]
    np.testing.assert_allclose(expected, expected[0])


def test_a_similarity_that_is_nowhere_known_is_none() -> None:
    z, _ = two_kinds(3)
    unknown, none = relate(z, {"kind": np.full((13, 13), NAN)}), relate(z, {})
    for strength in (0.0, 4.0, 8.0):
        np.testing.assert_allclose(unknown.emphasised(strength), none.emphasised(strength))
        np.testing.assert_allclose(unknown.emphasised(strength, 4), none.emphasised(strength, 4))


def test_a_similarity_known_one_way_is_that_both_ways_and_of_two_ways_the_mean_counts() -> None:
    z, kind = two_kinds(6)
    whole = alike(kind, 0)
    noise = np.random.default_rng(0).normal(size=whole.shape)
    ours = relate(z, {"kind": whole}).correlation
    np.testing.assert_allclose(relate(z, {"kind": np.where(np.tri(13, dtype=bool), whole, NAN)}).correlation, ours)
    np.testing.assert_allclose(relate(z, {"kind": whole + noise - noise.T}).correlation, ours)


def test_datasets_that_tell_nothing_are_no_pairs_to_learn_from() -> None:
    z, kind = two_kinds(7)
    wider = relate(np.column_stack([z, np.full((50, 6), NAN)]), {"kind": alike(np.append(kind, [0] * 6), 0)})
    np.testing.assert_allclose(wider.correlation[-1, :12], relate(z, {"kind": alike(kind, 0)}).correlation[-1])


def test_three_datasets_are_too_few_pairs_to_learn_from() -> None:
    z, kind = two_kinds(4, datasets=3)
    assert not relate(z, {"kind": alike(kind, 0)}).correlation.any()


def test_datasets_in_another_order_have_the_same_relations() -> None:
    z, kind = two_kinds(5)
    order = np.random.default_rng(0).permutation(12)
    ours, theirs = relate(z, {"kind": alike(kind, 0)}), relate(z[:, order], {"kind": alike(kind[order], 0)})
    whole = np.append(order, 12)
    np.testing.assert_allclose(theirs.weight, ours.weight[whole][:, order])
    np.testing.assert_allclose(theirs.correlation, ours.correlation[whole][:, order], atol=1e-9)


def test_emphasis_multiplies_the_root_of_the_weight_by_likeness_to_the_likeliest() -> None:
    relations = Relations(
        weight=np.array([[0.0, 4.0, 9.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 4.0, 9.0]]),
        correlation=np.array([[0.0, -0.5, -0.25], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.1, 0.6, 0.2]]),
    )
    np.testing.assert_allclose(relations.emphasised(0.0), [1, 2, 3])
    np.testing.assert_allclose(relations.emphasised(4.0), [np.exp(-2), 2, 3 * np.exp(-1.6)])
    # The left-out dataset's own entry, 0, is not the likeliest.
    np.testing.assert_allclose(relations.emphasised(4.0, 0), [0, 2 * np.exp(-1), 3])


@pytest.mark.parametrize("datasets", [0, 1])
def test_with_no_other_dataset_there_is_nothing_to_weigh(datasets: int) -> None:
    relations = relate(standardised(0, datasets=datasets), {})
    assert relations.weight.shape == relations.correlation.shape == (datasets + 1, datasets)
    for row in range(datasets):
        assert relations.emphasised(4.0, row).tolist() == [0]
    assert relations.emphasised(4.0).tolist() == pytest.approx([np.sqrt(0.02 / (1 - 0.02**2))] * datasets)
