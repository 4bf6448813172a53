"""What the policy "racing" expected at each stop of a race, and what came of it; of other policies nothing is known."""

from dataclasses import dataclass

from selection.records import Estimate, Expected, Outcome, Standing, Trend
from selection.wording import number, stop_name


@dataclass(frozen=True, slots=True)
class Stop:
    """A decision at the end of `rung`, among `n_raced`: who went on, the best expected end first.

    `n_back` of these had left before. `n_behind` are all others it was about, those dropped before too;
    `chance_behind` is the chance that one of them would have ended best.
    """

    rung: int
    n_raced: int
    went_on: tuple[tuple[Standing, Expected], ...]
    n_back: int
    n_behind: int
    chance_behind: float


def stops(outcome: Outcome) -> tuple[Stop, ...]:
    """The race's decisions in order."""
    by_rung: dict[int, list[tuple[Standing, Expected]]] = {}
    for one in outcome.standings:
        for expected in one.expected:
            by_rung.setdefault(expected.rung, []).append((one, expected))
    return tuple(_stop(rung, by_rung[rung]) for rung in sorted(by_rung))


def _stop(rung: int, weighed: list[tuple[Standing, Expected]]) -> Stop:
    went_on = [one for one in weighed if one[1].went_on]
    went_on.sort(key=lambda one: one[1].end.score if one[1].end else one[1].chance, reverse=True)
    behind = [expected.chance for _, expected in weighed if not expected.went_on]
    n_raced = sum(expected.raced for _, expected in weighed)
    n_back = sum(not expected.raced for _, expected in went_on)
    return Stop(rung, n_raced, tuple(went_on), n_back, len(behind), sum(behind))


def last_end(standing: Standing) -> Estimate | None:
    """The end that the race's last decision expected, also of one that had left by then; None for one that failed."""
    return standing.expected[-1].end if standing.expected and standing.dropped != "failed" else None


def when_leaving(standing: Standing) -> Expected | None:
    """What was expected at the last decision that the candidate raced up to, or that took it back."""
    return next((one for one in reversed(standing.expected) if one.raced or one.went_on), None)


def reached(outcome: Outcome, standing: Standing) -> float | None:
    """What a whole run came to: the winner's test score (such a score is forecast), of others the validation score.

    None for a candidate that did not race to the end.
    """
    if standing.dropped is not None or standing.progress.step < outcome.plan.rungs[-1].until_step:
        return None
    return outcome.test_score if standing.place == 1 else standing.progress.score


def borne_out(outcome: Outcome) -> str | None:
    """Whether those that raced to the end came to what the last stop expected; None where nothing tells."""
    best, said = outcome.best, []
    held = _held(outcome, best)
    if held is not None:
        where = stop_name(outcome.plan, best.expected[-1].rung)
        said.append(
            f"expected at {where} to end at {estimate(last_end(best))}, the winner came to "
            f"{number(outcome.test_score)} on the test part: {_where(held)} the 90 % interval"
        )
    others = [one for standing in outcome.standings[1:] if (one := _held(outcome, standing)) is not None]
    if len(others) == 1:
        said.append(f"the other that raced to the end came out {_where(others[0])} its own, by validation score")
    elif others:
        n, n_held = len(others), sum(others)
        said.append(f"of the {n} others that raced to the end {n_held} came out inside theirs, by validation score")
    return "; ".join(said) or None


def _held(outcome: Outcome, standing: Standing) -> bool | None:
    """Whether a run came to what was expected of it, by the decimals that are shown."""
    end, score = last_end(standing), reached(outcome, standing)
    return None if end is None or score is None else _shown(end.low) <= _shown(score) <= _shown(end.high)


def _shown(score: float) -> float:
    return float(f"{score:.3f}")


def _where(held: bool) -> str:
    return "inside" if held else "outside"


def learnt_from(trend: Trend | None) -> str:
    """What a plan's forecasts stand on."""
    if trend is None or not trend.n_runs:
        return (
            "how runs end is guessed, with wide intervals: the zoo has no dataset on which three models or more were "
            "trained to the end and tested by this metric (zoo measure does that)"
        )
    return f"how runs end is learnt from {trend.n_runs} finished runs ({trend.n_fields} datasets and seeds)"


def estimate(end: Estimate | None) -> str:
    """An expected score with its interval; a dash where there is none."""
    return "–" if end is None else f"{number(end.score)} [{number(end.low)}, {number(end.high)}]"
