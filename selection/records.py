"""The plain records that pass between the rooms of `selection`. Nothing here computes or imports anything heavy.

`score` is always larger-is-better. Seconds are wall clock unless the name says `cpu_seconds`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

Modality = Literal["text", "image"]
Method = Literal["full", "lora", "head"]
Precision = Literal["float32", "bfloat16"]
Head = Literal["mean", "native"]
ClassWeights = Literal["none", "balanced"]
DroppedBecause = Literal["dropped", "failed", "cut off"]
Policy = Literal["brute_force", "successive_halving", "hyperband", "two_phase", "power_law", "racing"]
# What a full run must promise to gain to be worth it, where nobody says: half a point.
PRICE = 0.005
# 2PS's trends by model: for each share of a run's length, clusters' (mean validation score, mean final score).
Clusters = Mapping[str, tuple[tuple[tuple[float, float], ...], ...]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A checkpoint that may be fine-tuned. `source` is a folder or hub id; None where only the name is known."""

    model: str
    source: str | None = None
    modality: Modality | None = None
    n_parameters: int | None = None
    license: str | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True)
class ProxyScore:
    """One transferability estimate of one model on one dataset.

    `score` is nan where the score is not defined for this pair; `reason` then says why.
    """

    name: str
    score: float
    seconds: float
    n_samples: int
    sample_digest: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """A recalled candidate: its rank (from 1), posterior score with a 90 % interval, and why.

    `tie` numbers the group of picks that cannot be told apart (pairwise win probability between .4 and .6).
    """

    rank: int
    candidate: Candidate
    score: float
    low: float
    high: float
    metric: str
    tie: int
    reasons: tuple[str, ...]

    @property
    def model(self) -> str:
        """The candidate's model id."""
        return self.candidate.model


@dataclass(frozen=True, slots=True)
class Excluded:
    """A model that a constraint kept out of the picks; `rule` names the constraint and the value met."""

    model: str
    rule: str


@dataclass(frozen=True, slots=True)
class Recall:
    """Ranked picks, what was kept out by constraints, and remarks the user must read (tiny zoo, no proxies...).

    Iterates over its picks, best first. `failures` are the models given by hand that cannot be used.
    """

    picks: tuple[Pick, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]
    failures: tuple["Failure", ...] = ()

    def __iter__(self) -> Iterator[Pick]:
        return iter(self.picks)

    def __len__(self) -> int:
        return len(self.picks)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a checkpoint is fine-tuned. Steps are optimizer steps.

    `head` for texts: "mean" is a linear layer whose logits are averaged over the tokens (saved as the family's token
    classification model, so it is exact in any family); "native" the family's own sequence classification head.

    Warm-up is linear over `warmup_steps`, then the rate is level, and falls to zero over the last `cooldown` (a share
    of `total_steps`): up to there nothing depends on how long the run will be, and one paused at any step and resumed
    equals one that was never paused.

    `method`: "full" trains all weights, "lora" adapters of `lora_rank` beside the encoder's (Hu et al. 2021, scaled by
    `lora_alpha` / `lora_rank`) and the head, "head" the head alone. `class_weights` "balanced" weighs each class in the
    loss by 1 / its share of the train part. With `family_rate` both rates are multiplied by what the checkpoint's
    family wants (`rates`). Each of `rate_factors` multiplies both rates: each is tried, the best goes on.
    """

    method: Method = "full"
    head: Head = "mean"
    learning_rate: float = 5e-5
    head_learning_rate: float = 1e-3
    batch_size: int = 32
    total_steps: int = 100
    warmup_steps: int = 10
    cooldown: float = 0.25
    weight_decay: float = 0.01
    max_length: int = 128
    metric: str = "accuracy"
    precision: Precision = "float32"
    seed: int = 0
    threads: int = 1
    class_weights: ClassWeights = "none"
    family_rate: bool = False
    rate_factors: tuple[float, ...] = ()
    lora_rank: int = 8
    lora_alpha: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate_factors", tuple(self.rate_factors))  # a list as JSON has it

    def __str__(self) -> str:
        return f"Recipe({', '.join(f'{name}={value!r}' for name, value in self.identity().items())})"

    def identity(self) -> dict[str, Any]:
        """Its fields for keys and digests: of those that came after the first recorded runs only what is used.

        So a run recorded before they came is found by the same key.
        """
        later = {field.name: field.default for field in fields(self) if field.name in _LATER}
        return {name: value for name, value in asdict(self).items() if name not in later or value != later[name]}


_LATER = frozenset({"class_weights", "family_rate", "rate_factors", "lora_rank", "lora_alpha"})


@dataclass(frozen=True, slots=True)
class Trend:
    """How runs end, as learnt from finished ones (`trends.learn_trend`); part of a plan, so that decisions replay.

    `covariance` (q, q) is of a candidate's deviations from the others' mean: final score, recall, probe, then the
    curve at `shares` of the run's length; in units of the spread of final scores (recall in its own). `shifts` (q) are
    models' own, in the same units. `spread` (typical, and how its logarithm varies) is in score units, and so are
    `gains` (q): the mean final score less the mean of the column, and how they vary together between fields (q, q).
    """

    shares: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    shifts: Mapping[str, tuple[float, ...]]
    spread: float
    spread_log_sd: float
    gains: tuple[float, ...]
    gain_covariance: tuple[tuple[float, ...], ...]
    n_runs: int
    n_fields: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate's run under one recipe; `eval_steps` (ascending, last = total_steps) are its curve's points.

    `probe` is the accuracy of a linear probe on frozen features, `recalled` what recall expects of the candidate (on
    recall's own scale): rung 0 decides by them; None where not known.
    """

    candidate: Candidate
    recipe: Recipe
    eval_steps: tuple[int, ...]
    probe: float | None = None
    recalled: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a trial has shown so far: its validation curve and what it cost, summed over all its pieces.

    `rate_factor` is the one of the recipe's `rate_factors` that it goes on with, once that is known.
    """

    step: int
    curve_steps: tuple[int, ...]
    curve: tuple[float, ...]
    seconds: float
    cpu_seconds: float
    rate_factor: float | None = None

    @property
    def score(self) -> float:
        """The latest validation score (nan before the first)."""
        return self.curve[-1] if self.curve else float("nan")


@dataclass(frozen=True, slots=True)
class Rung:
    """A stage of halving: `n_candidates` run on to `until_step`; then the best `n_survivors` go on."""

    index: int
    n_candidates: int
    n_survivors: int
    until_step: int
    expected_seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What select() will do, before anything is spent. `rungs[0]` is the probe on cached features (until_step 0).

    A rung's `n_candidates` and `n_survivors` are the most there may be; with the policy "racing" fewer go on where
    `trend` promises too little for their steps, at `price` (score for a full run); `expected_steps` says how many steps
    that comes to. `clusters` are for "two_phase".

    `failures` are the candidates that were to be planned for and cannot be used; `left_out` those that the budget has
    no room for.
    """

    trials: tuple[Trial, ...]
    rungs: tuple[Rung, ...]
    expected_seconds: float
    worst_seconds: float
    brute_force_seconds: float
    notes: tuple[str, ...] = ()
    failures: tuple["Failure", ...] = ()
    left_out: tuple[str, ...] = ()
    policy: Policy = "successive_halving"
    price: float = PRICE
    expected_steps: float | None = None
    trend: Trend | None = None
    clusters: Clusters | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """An expected score with its 90 % interval."""

    score: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What the policy "racing" expected of a candidate when it decided at the end of `rung`.

    `raced` says whether the candidate was in the race up to there (one dropped before is weighed again at each stop),
    `went_on` whether it was trained on. `chance` is its probability to end best. `end` is the score of its run trained
    to the end, as the zoo's finished runs have it (on test rows), in the metric's unit; None where nothing that was
    known of any candidate tells the level.
    """

    rung: int
    raced: bool
    went_on: bool
    chance: float
    end: Estimate | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How one candidate ended: its place (1 = winner), the rung it reached, and why it was dropped (None: never).

    `expected` is what each decision expected of it that it could go on by, in order; empty but with policy "racing".
    """

    place: int
    candidate: Candidate
    rung: int
    progress: Progress
    probe: float | None = None
    dropped: DroppedBecause | None = None
    reason: str | None = None
    expected: tuple[Expected, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a selection: standings best first, the winner's test score (measured once) and its checkpoint.

    `seconds` and `cpu_seconds` are the trials' own, summed. `n_validation` and `n_test` are rows, where known.
    """

    dataset: str
    metric: str
    standings: tuple[Standing, ...]
    test_score: float | None
    checkpoint: Path | None
    plan: Plan
    seconds: float
    cpu_seconds: float
    n_validation: int | None = None
    n_test: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Standing:
        """The winner."""
        return self.standings[0]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A complete fine-tune of a model on a dataset: validation curve, test score (measured once), cost, proxies."""

    model: str
    dataset: str
    metric: str
    recipe: Recipe
    progress: Progress
    test_score: float
    n_train: int
    n_test: int
    feature_seconds: float = 0.0
    proxies: tuple[ProxyScore, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that could not be completed, and why."""

    model: str
    dataset: str
    seed: int
    reason: str
