import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selection.proxies.sampling import stratified_folds, stratified_sample

labels = st.lists(st.integers(0, 4), min_size=2, max_size=80).map(
    lambda drawn: np.unique(drawn, return_inverse=True)[1]
)


@given(labels, st.integers(1, 100), st.integers(0, 3))
def test_a_sample_has_its_size_no_doubles_and_each_class_in_proportion(labels, size, seed):
    rows = stratified_sample(labels, size, seed)
    assert len(rows) == min(size, len(labels))
    assert (np.diff(rows) > 0).all()
    shares = np.bincount(labels) * len(rows) / len(labels)
    assert (np.abs(np.bincount(labels[rows], minlength=len(shares)) - shares) <= len(shares)).all()


@given(labels, st.integers(2, 6), st.integers(0, 3))
def test_folds_are_even_in_size_and_in_every_class(labels, n_folds, seed):
    folds = stratified_folds(labels, n_folds, seed)
    assert np.ptp(np.bincount(folds)) <= 1
    assert folds.max() + 1 == min(n_folds, len(labels))
    for label in set(labels.tolist()):
        assert np.ptp(np.bincount(folds[labels == label], minlength=folds.max() + 1)) <= 1


def test_a_sample_of_half_takes_half_of_each_class():
    labels = np.repeat([0, 1, 2], [100, 40, 10])
    assert np.bincount(labels[stratified_sample(labels, 75, 0)]).tolist() == [50, 20, 5]


def test_the_seed_decides_which_rows():
    labels = np.arange(100) % 3
    assert np.array_equal(stratified_sample(labels, 30, 1), stratified_sample(labels, 30, 1))
    assert not np.array_equal(stratified_sample(labels, 30, 1), stratified_sample(labels, 30, 2))
