"""How long a probe will take: a first guess from parameters and rows, put right by what this run's probes took.

Knows numbers only. Does not open checkpoints and reads no clock.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

# Seconds of a forward pass by parameter and token. CPU: random BERTs of 17M-109M parameters and a ViT of 11M took
# 0.9e-11 to 3.1e-11 on one thread of an AMD EPYC (Zen 4). GPUs: not measured, by rated speed and on the high side.
_FORWARD = {"cpu": 2e-11, "cuda": 5e-13, "mps": 4e-12}
# Opening a checkpoint: a constant, and its bytes read, hashed and loaded (four a parameter). Scoring: by the row.
_OPEN, _BYTES_PER_SECOND, _SCORE_PER_ROW = 0.3, 3e8, 5e-4
_DOWNLOAD_BYTES_PER_SECOND = 1e7
_BYTES_PER_PARAMETER = 4
# A model that does not tell its size is taken for a usual one.
_USUAL_PARAMETERS = 110_000_000
_IMAGE_TOKENS, _LETTERS_PER_TOKEN = 197, 4
# How far models of one size differ, against how far the guess may be from this machine's truth (log variances: factors
# of about 1.6 and 7).
_PRIOR_WEIGHT = 0.06


@dataclass(frozen=True, slots=True)
class Work:
    """What probing a model takes: its parameters, whether its features are cached, whether its weights are here."""

    n_parameters: int | None
    cached: bool = False
    local: bool = True


@dataclass(slots=True)
class Pace:
    """Expected seconds of probes over `n_rows` rows of `tokens` tokens in all; learns from each that has ended."""

    n_rows: int
    tokens: int
    device: str = "cpu"
    _forward: list[float] = field(default_factory=list)
    _rest: list[float] = field(default_factory=list)

    def forward_seconds(self, work: Work) -> float:
        """Expected seconds of the features; none where they are cached."""
        return 0.0 if work.cached else self._forward_guess(work) * _ratio(self._forward)

    def rest_seconds(self, work: Work) -> float:
        """Expected seconds of all else: fetching and opening the checkpoint, and the proxies."""
        fetched = 0.0 if work.local else _n_bytes(work) / _DOWNLOAD_BYTES_PER_SECOND
        return fetched + self._rest_guess(work) * _ratio(self._rest)

    def score_seconds(self) -> float:
        """Expected seconds of the proxies alone, once the features are there."""
        return _SCORE_PER_ROW * self.n_rows * _ratio(self._rest)

    def expected_seconds(self, work: Work) -> float:
        """Expected seconds of the whole probe."""
        return self.forward_seconds(work) + self.rest_seconds(work)

    def learn(self, work: Work, forward_seconds: float, rest_seconds: float) -> None:
        """Takes a probe that has ended into account: `forward_seconds` as its features took when they were computed.

        What a download took is not learnt from: it says nothing of the next.
        """
        self._forward.append(math.log(max(forward_seconds, 1e-6) / self._forward_guess(work)))
        if work.local:
            self._rest.append(math.log(max(rest_seconds, 1e-6) / self._rest_guess(work)))

    def _forward_guess(self, work: Work) -> float:
        return _FORWARD.get(self.device.partition(":")[0], _FORWARD["cpu"]) * _size(work) * max(1, self.tokens)

    def _rest_guess(self, work: Work) -> float:
        return _OPEN + _n_bytes(work) / _BYTES_PER_SECOND + _SCORE_PER_ROW * self.n_rows


def tokens_of(rows: Iterable[object], max_length: int) -> int:
    """About how many tokens the rows have: a quarter of a text's letters, at most `max_length`; an image as in ViT."""
    return sum(
        min(max_length, 2 + len(row) // _LETTERS_PER_TOKEN) if isinstance(row, str) else _IMAGE_TOKENS for row in rows
    )


def _size(work: Work) -> int:
    return work.n_parameters or _USUAL_PARAMETERS


def _n_bytes(work: Work) -> int:
    return _BYTES_PER_PARAMETER * _size(work)


def _ratio(logs: list[float]) -> float:
    """Actual over guessed seconds: the geometric mean of those seen, drawn a little towards 1."""
    return math.exp(sum(logs) / (len(logs) + _PRIOR_WEIGHT))
