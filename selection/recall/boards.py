"""From a posterior to the boards that lists are made from: the target's, and that of each past dataset left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from selection.recall.choice import Choice, Replay, choose
from selection.recall.evidence import Evidence, FloatArray, IntArray
from selection.recall.lists import Board
from selection.recall.posterior import Posterior
from selection.recall.profiles import Profiles, profile

# Models a choice is made among, the best as expected: more change nothing.
_MODELS = 1000
# Past datasets it is judged on: as many as there are within a time (in cells of models and datasets), but so many.
_MOST_REPLAYS, _FEWEST_REPLAYS, _CELLS = 120, 40, 12_000_000
# How strongly draws of possible targets prefer datasets like it, at least: a draw is one way things may go, not a mean.
_ALIKE = 4.0


def choose_lists(
    evidence: Evidence, posterior: Posterior, ranked: Sequence[int], ks: Sequence[int], seed: int = 0
) -> dict[int, Choice]:
    """The list for each number of picks in `ks`, among the candidates `ranked`, given best expected first.

    For a cold target: with results on it, what is expected is the list. Orders hold indices of candidates. Where
    more candidates may be picked than lists are made of, those less expected to win follow as they were given.
    """
    rows, rest = np.array(ranked[:_MODELS], dtype=np.int64), np.array(ranked[_MODELS:], dtype=np.int64)
    columns = _sorted_columns(evidence.datasets)
    view = _View(posterior, profile(evidence.scores).of(rows, columns), rows, columns)
    replays = [Replay(view.board(d, posterior.beliefs[d].mean), evidence.scores[rows, d]) for d in view.replayed(seed)]
    found = choose(view.board(None, posterior.prediction.mean), replays, ks, seed)
    return {k: replace(choice, order=np.concatenate([rows[choice.order], rest])) for k, choice in found.items()}


def _sorted_columns(datasets: Sequence[str]) -> IntArray:
    # By name, so that the order in which datasets came decides nothing.
    return np.array(sorted(range(len(datasets)), key=datasets.__getitem__), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What boards share: the models `rows` and the datasets `columns` of the posterior, and their profiles."""

    posterior: Posterior
    profiles: Profiles
    rows: IntArray
    columns: IntArray

    def replayed(self, seed: int) -> list[int]:
        """Past datasets to judge policies on."""
        usable = self.columns[self.posterior.plain.columns.usable[self.columns]]
        affordable = _CELLS // max(1, len(self.rows) * len(self.columns))
        n = min(_MOST_REPLAYS, max(_FEWEST_REPLAYS, affordable))
        found: list[int] = np.random.default_rng(seed).permutation(usable)[:n].tolist()
        return found

    def board(self, d: int | None, expected: FloatArray) -> Board:
        """The board of the target, or of past dataset d as if it were; `expected` (M,) of all models."""
        plain, history, relations = self.posterior.plain, self.posterior.history, self.posterior.relations
        weighted = history.ability if d is None else history.left_out[d]
        row, strength = -1 if d is None else d, history.strength or 0.0
        return Board(
            profiles=self.profiles,
            weights=relations.emphasised(strength, row)[self.columns],
            chances=relations.emphasised(max(strength, _ALIKE), row)[self.columns] ** 2,
            ability=(plain.ability if d is None else plain.left_out[d]).of(self.rows),
            expected=expected[self.rows],
            moved=(expected - weighted.mean)[self.rows],
        )
