import pytest

from selection.pace import Pace, Work, tokens_of


def test_before_any_probe_seconds_grow_with_parameters_and_tokens() -> None:
    pace = Pace(n_rows=1000, tokens=50_000)
    small, large = Work(10_000_000), Work(100_000_000)
    assert pace.forward_seconds(small) == pytest.approx(2e-11 * 1e7 * 50_000)
    assert pace.forward_seconds(large) == pytest.approx(10 * pace.forward_seconds(small))
    assert pace.expected_seconds(large) == pytest.approx(pace.forward_seconds(large) + pace.rest_seconds(large))
    assert Pace(1000, 100_000).forward_seconds(small) == pytest.approx(2 * pace.forward_seconds(small))


def test_cached_features_cost_no_forward_pass_and_absent_weights_a_download() -> None:
    pace = Pace(100, 5000)
    assert pace.forward_seconds(Work(10_000_000, cached=True)) == 0
    assert pace.expected_seconds(Work(10_000_000, cached=True)) == pace.rest_seconds(Work(10_000_000))
    fetched = pace.rest_seconds(Work(10_000_000, local=False)) - pace.rest_seconds(Work(10_000_000))
    assert fetched == pytest.approx(4.0)  # 40 MB at 10 MB/s


def test_what_probes_took_corrects_the_guess_for_all_the_others() -> None:
    pace, small, large = Pace(100, 5000), Work(10_000_000), Work(100_000_000)
    guess = pace.forward_seconds(large)
    pace.learn(small, 8 * pace.forward_seconds(small), 0.5)
    assert 4 * guess < pace.forward_seconds(large) < 8 * guess  # a little towards the first guess
    for _ in range(50):
        pace.learn(small, 8 * guess / 10, 0.5)
    assert pace.forward_seconds(large) == pytest.approx(8 * guess, rel=0.02)


def test_a_download_teaches_nothing_of_opening() -> None:
    pace, work = Pace(100, 5000), Work(10_000_000, local=False)
    before = pace.rest_seconds(Work(10_000_000))
    pace.learn(work, 1.0, 1000.0)
    assert pace.rest_seconds(Work(10_000_000)) == before


def test_a_model_without_a_known_size_is_a_usual_one_and_gpus_are_faster() -> None:
    assert Pace(100, 5000).forward_seconds(Work(None)) == Pace(100, 5000).forward_seconds(Work(110_000_000))
    assert Pace(100, 5000, "cuda:1").forward_seconds(Work(1)) < Pace(100, 5000).forward_seconds(Work(1)) / 10


def test_tokens_are_a_quarter_of_the_letters_up_to_the_limit() -> None:
    assert tokens_of(["x" * 40, "x" * 4000], max_length=64) == 12 + 64
    assert tokens_of([object(), object()], max_length=64) == 2 * 197
