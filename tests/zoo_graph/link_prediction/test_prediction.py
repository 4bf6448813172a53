import numpy as np
import pytest

from zoo_graph.link_prediction.prediction import Calibration, calibrate, with_interval
from zoo_graph.link_prediction.results import read_results


def test_the_reach_is_the_quantile_of_how_many_sds_the_truth_was_off() -> None:
    generator = np.random.default_rng(0)
    truth = read_results(generator.normal(size=(200, 40)))
    found = calibrate(np.zeros((200, 40)), np.full((200, 40), 0.5), truth)
    assert found.n_datasets == 40
    assert found.reach == pytest.approx(2 * 1.64, rel=0.08)  # sd was told too small by half


def test_a_dataset_with_many_results_counts_no_more_than_one_with_few() -> None:
    generator = np.random.default_rng(0)
    scores = np.full((400, 40), np.nan)
    scores[:, 0] = generator.normal(size=400)
    scores[:20, 1:] = generator.normal(size=(20, 39))
    truth = read_results(scores)
    sd = np.full(scores.shape, 1.0)
    sd[:, 0] = 0.01  # one large dataset alone is told far too well
    assert calibrate(np.zeros(scores.shape), sd, truth).reach < 10


def test_few_datasets_teach_no_interval() -> None:
    truth = read_results(np.random.default_rng(0).normal(size=(30, 4)))
    assert calibrate(np.zeros((30, 4)), np.ones((30, 4)), truth) == Calibration()


def test_datasets_that_were_not_held_out_do_not_count() -> None:
    truth = read_results(np.random.default_rng(0).normal(size=(30, 12)))
    mean = np.zeros((30, 12))
    mean[:, 6:] = np.nan
    assert calibrate(mean, np.ones((30, 12)), truth).n_datasets == 6


def test_an_interval_lies_about_the_mean(planted) -> None:
    graph = planted(4, 2)
    found = with_interval(graph, ["d0"], np.ones((4, 1)), np.full((4, 1), 0.5), Calibration(2.0, 9))
    assert (found.low == 0).all()
    assert (found.high == 2).all()
