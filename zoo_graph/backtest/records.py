"""The plain record of one judged ranking."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["judged", "silent", "failed"]


@dataclass(frozen=True, slots=True)
class Record:
    """One ranker on one target, after `n_evaluated` models were evaluated there (0: cold).

    `metrics` are `quality.METRICS`, empty unless judged; a silent ranker had nothing to say of this target, a failed
    one says why in `reason`. `seconds` are of the ranking alone.
    """

    matrix: str
    target: str
    n_evaluated: int
    ranker: str
    state: State
    metrics: Mapping[str, float]
    seconds: float = 0.0
    reason: str | None = None

    @property
    def regime(self) -> str:
        """`cold`, or `warm` with the number of models evaluated."""
        return regime_of(self.n_evaluated)


def regime_of(n_evaluated: int) -> str:
    """The name of a regime.

    >>> regime_of(0), regime_of(5)
    ('cold', 'warm5')
    """
    return f"warm{n_evaluated}" if n_evaluated else "cold"
