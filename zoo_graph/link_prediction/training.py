"""How a network learns: always to predict datasets whose results it does not see, in zoos as full and as sparse.

Each episode hides all results of some datasets, with all that derives from them, and every other episode also most
of the rest or most of some models'. The loss is the squared error within each dataset (an offset per dataset costs
nothing), with a listwise ranking term (Cao et al. 2007) and the likelihood of the spread.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from zoo_graph.link_prediction.hetero import Frame, alike_of, input_widths, view
from zoo_graph.link_prediction.model import Network
from zoo_graph.link_prediction.pairs import pair_features, pair_width
from zoo_graph.link_prediction.results import Results, deal
from zoo_graph.link_prediction.sampling import sample
from zoo_graph.link_prediction.standing import Base, stand, thinned
from zoo_graph.snapshot import Floats, Integers

State = dict[str, Tensor]

_GROUPS = 8  # that the datasets are dealt into, one hidden at a time
_TEMPERATURE = 0.5  # of the ranking term, in spreads of a dataset's results
_RANKING, _SPREAD = 0.1, 0.1  # shares in the loss
_REMEMBERED = 3_000_000  # results of all episodes together, some 100 bytes each; but at least so many episodes:
_FEWEST = 6
_CHUNK = 200_000  # pairs decoded at once
_FEW = 5.0  # a dataset with so many results counts half as much as one with very many


@dataclass(frozen=True, slots=True)
class Settings:
    """How networks are made and trained; the defaults serve zoos of 5 to 1,500 datasets.

    `folds`: networks, each of which never sees one fold of the datasets. `checkpoints`: how often within `steps` the
    held-out datasets are looked at. `threads`: CPU threads of torch at most. Above `large_models` or `large_edges` a
    step takes `sampled_pairs` results and `fan_outs` edges of each type into a node, hop by hop.
    """

    folds: int = 5
    steps: int = 240
    checkpoints: int = 6
    episodes: int = 24
    width: int = 48
    dropout: float = 0.2
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    threads: int = 1
    large_models: int = 20_000
    large_edges: int = 1_000_000
    sampled_pairs: int = 1_024
    fan_outs: tuple[int, int] = (8, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One lesson: the graph as far as it is seen, and N pairs of hidden results.

    `model`, `dataset`, `column` (N,): rows and the place of the dataset among the targets; `pairs` (N, P); `z` and
    `base` (N,): the truth and what was believed before.
    """

    data: HeteroData
    model: Tensor
    dataset: Tensor
    column: Tensor
    pairs: Tensor
    z: Tensor
    base: Tensor


@contextlib.contextmanager
def own_torch(seed: int, threads: int) -> Iterator[None]:
    """Runs with torch's random numbers from `seed` and at most `threads` threads, and leaves both as they were.

    Weights and dropout can draw from torch's default generator only, so it is borrowed.
    """
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(min(before, threads))
        try:
            yield
        finally:
            torch.set_num_threads(before)


def build(frame: Frame, settings: Settings) -> Network:
    """Returns an untrained network for the frame's schema."""
    return Network(input_widths(frame.schema), pair_width(frame.schema), settings.width, settings.dropout)


def fit(frame: Frame, results: Results, base: Base, settings: Settings, seed: int) -> list[State]:
    """Returns a network's weights at each checkpoint, trained on the results. Same inputs and seed, same weights."""
    episodes = list(_episodes(frame, results, base, settings, np.random.default_rng([seed, 2])))
    with own_torch(seed, settings.threads):
        network = build(frame, settings)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        return list(_train(network, optimizer, episodes, settings))


def _train(
    network: Network, optimizer: torch.optim.Optimizer, episodes: list[Episode], settings: Settings
) -> Iterator[State]:
    every = max(1, settings.steps // settings.checkpoints)
    generator = np.random.default_rng(len(episodes))
    for step in range(1, every * settings.checkpoints + 1):
        network.train()
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(network, bounded(episodes[step % len(episodes)], settings, generator)))
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            yield {name: values.detach().clone() for name, values in network.state_dict().items()}


def _episodes(
    frame: Frame, results: Results, base: Base, settings: Settings, generator: np.random.Generator
) -> Iterator[Episode]:
    made, wanted = 0, min(settings.episodes, max(_FEWEST, _REMEMBERED // max(len(results), 1)))
    while made < wanted:
        for group in deal(results.informative(), _GROUPS, int(generator.integers(2**31))):
            visible = results.hide(group)
            visible = thinned(visible, generator) if made % 2 else visible
            yield episode_of(frame, visible, results, base, group)
            made += 1


def episode_of(frame: Frame, visible: Results, truth: Results, base: Base, group: Integers) -> Episode:
    """Returns the lesson to predict the true results on the datasets of `group` from the visible ones."""
    rows = truth.of(group)
    standing = stand(visible, frame.design, base)
    model, column = truth.model[rows], np.searchsorted(group, truth.dataset[rows])
    residual = visible.z - standing.mean[visible.model]
    pairs = pair_features(frame.tables, visible, residual, group, model, column)
    return Episode(
        view(frame, visible, standing, alike_of(visible)),
        torch.from_numpy(model),
        torch.from_numpy(group[column]),
        torch.from_numpy(column),
        single(pairs),
        single(truth.z[rows]),
        single(standing.mean[model]),
    )


def bounded(episode: Episode, settings: Settings, generator: np.random.Generator) -> Episode:
    """Returns the lesson itself, or of a large one some random pairs with a random neighbourhood of bounded size."""
    data = episode.data
    n_edges = sum(data[kind].edge_index.shape[1] for kind in data.edge_types)
    if len(data["model"].x) <= settings.large_models and n_edges <= settings.large_edges:
        return episode
    n_pairs = min(len(episode.z), settings.sampled_pairs)
    kept = torch.from_numpy(np.sort(generator.choice(len(episode.z), n_pairs, replace=False)))
    model, dataset = episode.model[kept], episode.dataset[kept]
    part = sample(data, {"model": model.numpy(), "dataset": dataset.numpy()}, settings.fan_outs, generator)
    return Episode(
        part.data,
        torch.from_numpy(np.searchsorted(part.nodes["model"], model.numpy())),
        torch.from_numpy(np.searchsorted(part.nodes["dataset"], dataset.numpy())),
        episode.column[kept],
        episode.pairs[kept],
        episode.z[kept],
        episode.base[kept],
    )


def loss_of(network: Network, episode: Episode) -> Tensor:
    """Returns the loss of one lesson: about 1 for a network that corrects nothing, whatever the base leaves."""
    models, datasets = network.embed(episode.data)
    correction, log_variance = network.decode(models[episode.model], datasets[episode.dataset], episode.pairs)
    column = episode.column
    n = torch.bincount(column).clamp(min=1).float()
    weight = (1 / (n + _FEW))[column]
    left = _centred(episode.z - episode.base, column, n)
    error = left - _centred(correction, column, n)
    unit = (weight * left**2).sum().clamp(min=1e-6)
    squared = (weight * error**2).sum() / unit
    seen = error.detach() ** 2
    spread = (weight * (log_variance + seen * torch.exp(-log_variance))).sum() / weight.sum()
    ranking = _listwise(episode.z, episode.base + correction, column, n)
    return squared + _RANKING * ranking + _SPREAD * spread


def _centred(values: Tensor, column: Tensor, n: Tensor) -> Tensor:
    return values - (torch.zeros_like(n).index_add(0, column, values) / n)[column]


def _listwise(truth: Tensor, predicted: Tensor, column: Tensor, n: Tensor) -> Tensor:
    """Returns the mean over datasets of the divergence of the predicted from the true softmax (ListNet's top one)."""
    wanted, found = (_log_softmax(values / _TEMPERATURE, column, len(n)) for values in (truth, predicted))
    divergence = torch.zeros_like(n).index_add(0, column, wanted.exp() * (wanted - found))
    return divergence.sum() / (n > 0).sum()


def _log_softmax(values: Tensor, column: Tensor, n_columns: int) -> Tensor:
    highest = torch.full((n_columns,), -torch.inf).scatter_reduce(0, column, values.detach(), "amax")
    shifted = values - highest[column]
    total = torch.zeros(n_columns).index_add(0, column, shifted.exp())
    return shifted - total[column].log()


def corrections(network: Network, states: list[State], episode: Episode) -> tuple[Floats, Floats]:
    """Returns correction and log-variance of the episode's pairs at each checkpoint, (checkpoints, N) each."""
    found = []
    for state in states:
        network.load_state_dict(state)
        found.append(decoded(network, episode.data, episode.model, episode.dataset, episode.pairs))
    correction, log_variance = zip(*found, strict=True)
    return np.stack(correction), np.stack(log_variance)


@torch.no_grad()
def decoded(network: Network, data: HeteroData, model: Tensor, dataset: Tensor, pairs: Tensor) -> tuple[Floats, Floats]:
    """Returns correction and log-variance (bounded) of N pairs: rows of models and datasets (N,), features (N, P)."""
    network.eval()
    models, datasets = network.embed(data)
    chunks = zip(*(torch.split(part, _CHUNK) for part in (model, dataset, pairs)), strict=True)
    found = [network.decode(models[m], datasets[d], features) for m, d, features in chunks]
    correction, log_variance = (torch.cat(part).double().numpy() for part in zip(*found, strict=True))
    return correction, np.clip(log_variance, -6.0, 3.0)


def single(values: np.ndarray) -> Tensor:
    """Returns the values as a tensor of single precision."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
