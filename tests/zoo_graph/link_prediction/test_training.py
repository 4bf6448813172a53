from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo_graph.link_prediction.features import schema_of
from zoo_graph.link_prediction.hetero import EDGES, Frame, frame_of
from zoo_graph.link_prediction.predictor import train
from zoo_graph.link_prediction.results import Results, read_results
from zoo_graph.link_prediction.standing import Base, choose_base
from zoo_graph.link_prediction.training import Episode, bounded, build, corrections, episode_of, loss_of, own_torch

GROUP = np.array([2, 5])


@pytest.fixture(scope="module")
def frame(planted) -> Frame:
    graph = planted()
    return frame_of(graph, schema_of(graph))


@pytest.fixture(scope="module")
def results(planted) -> Results:
    return read_results(planted().scores)


@pytest.fixture(scope="module")
def base(frame, results) -> Base:
    return choose_base(results, frame.design, 0)


@pytest.fixture(scope="module")
def episode(frame, results, base) -> Episode:
    return episode_of(frame, results.hide(GROUP), results, base, GROUP)


def test_an_episode_shows_no_edge_of_a_result_it_asks_for(episode) -> None:
    assert set(episode.dataset.tolist()) == set(GROUP.tolist())
    for kind in EDGES:
        if "scored" in kind[1] and kind in episode.data.edge_types:
            datasets = episode.data[kind].edge_index[1 if kind[2] == "dataset" else 0]
            assert not set(datasets.tolist()) & set(GROUP.tolist())
            assert len(set(datasets.tolist())) == 14


def test_every_kind_of_edge_of_the_zoo_is_there_both_ways(episode) -> None:
    missing = {kind for kind in EDGES if kind not in episode.data.edge_types}
    assert {kind[1] for kind in missing} == {"built_as", "rev_built_as"}  # no model names its architecture
    for source, relation, target in episode.data.edge_types:
        back = (target, f"rev_{relation}", source)
        if back in EDGES:
            assert torch.equal(episode.data[back].edge_index, episode.data[source, relation, target].edge_index.flip(0))


def test_an_untrained_network_corrects_nothing_and_its_squared_loss_is_one(frame, episode, quick) -> None:
    with own_torch(0, 1):
        network = build(frame, quick)
        correction, _ = corrections(network, [network.state_dict()], episode)
    assert not correction.any()
    flat = replace(episode, base=torch.zeros_like(episode.base), z=torch.ones_like(episode.z))
    assert loss_of(network.eval(), flat).item() == pytest.approx(0.0, abs=1e-6)  # nothing left, nothing to rank
    assert 1.0 < loss_of(network, episode).item() < 2.0


def test_an_offset_of_a_datasets_results_costs_nothing(frame, episode, quick) -> None:
    with own_torch(0, 1):
        network = build(frame, quick).eval()
        torch.nn.init.normal_(network.correction.weight, std=0.1)
    shifted = replace(episode, z=episode.z + 5.0 * episode.column)
    before = loss_of(network, episode).item()
    assert loss_of(network, shifted).item() == pytest.approx(before, rel=1e-4)
    torch.nn.init.constant_(network.correction.bias, 3.0)
    assert loss_of(network, episode).item() == pytest.approx(before, rel=1e-4)


class Saying:
    """In a network's place: says the given corrections."""

    def __init__(self, correction: list[float]) -> None:
        self.correction = torch.tensor(correction)

    def embed(self, data: object) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(3, 1), torch.zeros(1, 1)

    def decode(self, *_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.correction, torch.zeros(3)


def test_of_two_corrections_as_far_off_the_one_that_ranks_better_costs_less(episode) -> None:
    rows = torch.arange(3)
    lesson = replace(
        episode, model=rows, dataset=rows * 0, column=rows * 0, z=torch.tensor([0.0, 1.0, 2.0]), base=torch.zeros(3)
    )
    in_order, swapped = Saying([-1.0, 1.0, 3.0]), Saying([0.0, 2.0, 1.0])  # both miss by 2 in squares
    assert loss_of(swapped, lesson).item() > loss_of(in_order, lesson).item() + 0.01


def test_a_large_lesson_is_cut_to_some_pairs_and_their_neighbourhood(episode, quick) -> None:
    small = replace(quick, large_models=1, sampled_pairs=5, fan_outs=(2, 1))
    part = bounded(episode, small, np.random.default_rng(0))
    assert len(part.z) == 5
    assert len(part.data["model"].x) < len(episode.data["model"].x)
    for whole, cut in ((episode.data["dataset"], part.data["dataset"]), (episode.data["model"], part.data["model"])):
        assert {tuple(row) for row in cut.x.tolist()} <= {tuple(row) for row in whole.x.tolist()}
    same = [(m, d) for m, d in zip(episode.z.tolist(), episode.base.tolist(), strict=True)]
    assert {(m, d) for m, d in zip(part.z.tolist(), part.base.tolist(), strict=True)} <= set(same)
    assert bounded(episode, quick, np.random.default_rng(0)) is episode


def test_training_on_samples_learns_too(planted, quick) -> None:
    graph = planted(n_models=24, n_datasets=12)
    cut = replace(quick, large_models=1, sampled_pairs=24, fan_outs=(4, 4))
    predictor = train(graph, settings=cut)
    assert predictor.multiplier > 0
    assert np.isfinite(predictor.predict(graph, ["d0"]).mean).all()
