import numpy as np

from selection.recall.ability import fit_ability
from selection.recall.history import learn_history
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
