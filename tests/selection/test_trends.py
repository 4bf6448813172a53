"""Trends: what finished runs tell of how a run will end."""

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from selection.trends import (
    CURVE,
    FINAL,
    PROBE,
    Curve,
    FloatArray,
    Forecast,
    Seen,
    default_trend,
    forecast,
    learn_trend,
    lookahead,
    simulate,
)

SHARES = (0.25, 0.5, 1.0)


def make_field(
    name: str, rng: np.random.Generator, n: int = 12, spread: float = 0.05, slow: Collection[str] = ()
) -> list[Curve]:
    """Runs whose points are the final score less noise that shrinks; the models `slow` start far below their end."""
    level = rng.uniform(0.4, 0.8)
    finals = spread * rng.standard_normal(n)
    noise = spread * rng.standard_normal((n, 3)) * [1.0, 0.6, 0.2]
    runs = []
    for place in range(n):
        model = f"m{place}"
        late = np.array([3.0, 2.0, 0.0]) * spread if model in slow else np.zeros(3)
        scores = level + finals[place] + noise[place] - late - [0.2, 0.1, 0.0]
        recalled = float(finals[place] / spread + rng.standard_normal())
        runs.append(Curve(model, name, SHARES, tuple(scores), float(level + finals[place]), recalled, math.nan))
    return runs


def make_zoo(n_fields: int = 20, seed: int = 0, slow: Collection[str] = ()) -> list[Curve]:
    rng = np.random.default_rng(seed)
    return [run for place in range(n_fields) for run in make_field(f"d{place}", rng, slow=slow)]


def seen_until(runs: list[Curve], points: int) -> list[Seen]:
    return [Seen(one.model, one.shares[:points], one.scores[:points], one.recalled, one.probe) for one in runs]


def deviations(runs: list[Curve]) -> FloatArray:
    finals = np.array([one.final for one in runs])
    return np.asarray(finals - finals.mean())


def centred(found: Forecast) -> tuple[FloatArray, FloatArray]:
    """Means and standard deviations of each candidate's difference to the candidates' mean."""
    n = len(found.models)
    centring = np.eye(n) - 1 / n
    mean = found.mean
    moments = np.einsum("g,gij->ij", found.weights, found.covariances) + np.einsum(
        "g,gi,gj->ij", found.weights, found.means - mean, found.means - mean
    )
    return centring @ mean, np.sqrt(np.diag(centring @ moments @ centring))


@pytest.mark.parametrize("points", [0, 1, 2, 3])
def test_its_90_percent_interval_covers_what_comes(points: int) -> None:
    trend = learn_trend(make_zoo(40), SHARES)
    rng = np.random.default_rng(1)
    inside = []
    for place in range(40):
        runs = make_field(f"new{place}", rng, spread=float(rng.uniform(0.03, 0.08)))
        mean, sd = centred(forecast(trend, seen_until(runs, points)))
        inside += list(np.abs(deviations(runs) - mean) < 1.645 * sd)
    assert 0.85 < np.mean(inside) < 0.96


def test_more_of_a_curve_brings_the_forecast_nearer() -> None:
    trend = learn_trend(make_zoo(), SHARES)
    rng = np.random.default_rng(2)
    errors = np.zeros(4)
    for place in range(20):
        runs = make_field(f"new{place}", rng)
        errors += [
            float(np.abs(deviations(runs) - centred(forecast(trend, seen_until(runs, p)))[0]).mean()) for p in range(4)
        ]
    assert errors[0] > 1.1 * errors[1] > 1.2 * errors[2] > 1.5 * errors[3]


def test_it_is_the_conditional_of_one_gaussian_with_flat_levels() -> None:
    trend = replace(learn_trend(make_zoo(), SHARES), spread_log_sd=1e-6, shifts={})
    seen = [
        Seen("a", SHARES[:2], (0.5, 0.6), 1.0),
        Seen("b", SHARES[:1], (0.55,), -0.5, 0.7),
        Seen("c", (), (), math.nan, 0.6),
    ]
    found = forecast(trend, seen)
    covariance, unit = np.array(trend.covariance), np.r_[trend.spread, 1.0, np.full(4, trend.spread)]
    covariance = covariance * np.outer(unit, unit)
    flat = 1e3
    level = np.diag(np.r_[flat, flat, np.zeros(4)])
    level[2:, 2:] = np.array(trend.gain_covariance)[2:, 2:]
    level[0, 2:] = level[2:, 0] = flat
    level[2:, 2:] += flat
    usual = -np.array(trend.gains)
    facts = [(0, 1, 1.0), (0, 3, 0.5), (0, 4, 0.6), (1, 1, -0.5), (1, 2, 0.7), (1, 3, 0.55), (2, 2, 0.6)]
    joint = np.array([[(i == j) * covariance[a, b] + level[a, b] for j, b, _ in facts] for i, a, _ in facts])
    cross = np.array([[(k == i) * covariance[FINAL, a] + level[FINAL, a] for i, a, _ in facts] for k in range(3)])
    gain = cross @ np.linalg.inv(joint)
    expected = gain @ np.array([value - usual[column] for _, column, value in facts])
    np.testing.assert_allclose(found.mean, expected, atol=1e-4)
    own = covariance[FINAL, FINAL] * np.eye(3) + flat
    np.testing.assert_allclose(found.covariances[0], own - gain @ cross.T, atol=1e-5)


def test_what_all_candidates_share_decides_next_to_nothing() -> None:
    trend = learn_trend(make_zoo(), SHARES)
    runs = seen_until(make_field("new", np.random.default_rng(3)), 2)
    steps = (0.1, 0.2)
    higher = [replace(one, scores=tuple(np.array(one.scores) + steps)) for one in runs]
    np.testing.assert_allclose(centred(forecast(trend, runs))[0], centred(forecast(trend, higher))[0], atol=4e-3)


def test_one_seen_alone_is_compared_with_what_is_usual() -> None:
    trend = learn_trend(make_zoo(), SHARES)
    others = [Seen(name, probe=0.6) for name in "bcd"]
    usual = 0.6 + trend.gains[PROBE] - trend.gains[CURVE]
    well, badly = (
        forecast(trend, [Seen("a", SHARES[:1], (usual + step,), probe=0.6), *others]).mean for step in (0.0, -0.3)
    )
    assert abs(well[0] - well[1]) < 0.02
    assert badly[0] < badly[1] - 0.01


def test_a_run_that_broke_does_not_pull_the_others_down_and_is_itself_uncertain() -> None:
    trend = learn_trend([replace(one, probe=one.final - 0.1) for one in make_zoo()], SHARES)
    others = [Seen(name, probe=0.6) for name in "bcd"]
    usual = 0.7 - np.array(trend.gains[CURVE:])
    curve = (float(usual[0]), float(usual[1]) - 0.4)
    well = forecast(trend, [Seen("a", SHARES[:2], tuple(map(float, usual[:2])), probe=0.6), *others])
    broke = forecast(trend, [Seen("a", SHARES[:2], curve, probe=0.6), *others])
    assert broke.mean[1] > well.mean[1] - 0.04
    assert broke.mean[0] < broke.mean[1] - 0.05
    assert broke.sd[0] > 2.0 * well.sd[0]


def test_of_a_point_that_no_past_run_has_the_guess_is_held_and_not_that_it_gains_nothing() -> None:
    late = [replace(one, shares=one.shares[1:], scores=one.scores[1:]) for one in make_zoo()]
    trend, guess = learn_trend(late, SHARES), default_trend(SHARES)
    sds = np.sqrt(np.diagonal(np.array(trend.gain_covariance)))
    assert trend.gains[CURVE] == guess.gains[CURVE]
    assert trend.gains[CURVE + 1] == pytest.approx(0.1, abs=0.02)
    assert sds[CURVE] > 0.1 > sds[CURVE + 1]
    assert sds[PROBE] > 0.05


def test_runs_that_all_end_alike_say_nothing_of_the_spread() -> None:
    alike = [
        Curve(model, f"alike{end}", SHARES, (end - 0.2, end - 0.1, end), end)
        for end in (0.3, 0.7, 0.95, 0.885)
        for model in ("m1", "m2", "m3")
    ]
    assert np.std([0.95] * 3) > 0.0  # by rounding alone
    zoo = make_zoo()
    assert learn_trend([*zoo, *alike], SHARES) == learn_trend(zoo, SHARES)


def test_where_a_test_part_is_harder_all_points_are_off_together_and_the_interval_says_so() -> None:
    rng = np.random.default_rng(5)

    def shifted(runs: list[Curve]) -> list[Curve]:
        off = 0.05 * rng.standard_normal()
        return [replace(one, final=one.final + off) for one in runs]

    shares = tuple(np.linspace(0.4, 1.0, 7).tolist())
    rise = 0.1 * (1.0 - np.array(shares))

    def field(name: str) -> list[Curve]:
        runs = make_field(name, rng)
        curves = [one.final - rise + 0.01 * rng.standard_normal(7) for one in runs]
        return shifted(
            [replace(one, shares=shares, scores=tuple(map(float, c))) for one, c in zip(runs, curves, strict=True)]
        )

    trend = learn_trend([run for place in range(25) for run in field(f"d{place}")], shares)
    inside = []
    for place in range(150):
        runs = field(f"new{place}")
        found = forecast(trend, [replace(seen, recalled=math.nan) for seen in seen_until(runs, 7)])
        inside.append(np.abs(found.mean - [one.final for one in runs]) < 1.645 * found.sd)
    assert 0.84 < np.mean(inside) < 0.96


def test_simulated_races_stand_on_the_level_of_their_probes() -> None:
    zoo = [replace(one, probe=one.final - 0.1) for one in make_zoo(slow={"m1"})]
    trend = learn_trend(zoo, SHARES)
    seen = [Seen(f"m{place}", probe=0.6) for place in range(12)]
    rng = np.random.default_rng(0)
    drawn = [simulate(trend, seen, rng) for _ in range(200)]
    finals = np.mean([ends for _, ends in drawn], axis=0)
    first = np.mean([[one.scores[0] for one in runs] for runs, _ in drawn], axis=0)
    np.testing.assert_allclose(finals, 0.7, atol=0.03)
    assert first[0] == pytest.approx(0.5, abs=0.03)
    assert first[1] < first[0] - 0.05  # a slow starter is one here too


def test_the_order_of_candidates_changes_nothing() -> None:
    trend = learn_trend(make_zoo(), SHARES)
    runs = seen_until(make_field("new", np.random.default_rng(4)), 1)
    np.testing.assert_allclose(forecast(trend, runs[::-1]).mean[::-1], forecast(trend, runs).mean, atol=1e-12)


def test_a_slow_starter_is_known_by_its_past() -> None:
    zoo = make_zoo(slow=["m3"])
    runs = make_field("new", np.random.default_rng(5), slow=["m3"])
    told = forecast(learn_trend(zoo, SHARES), seen_until(runs, 1))
    untold = forecast(replace(learn_trend(zoo, SHARES), shifts={}), seen_until(runs, 1))
    true = deviations(runs)[3]
    assert abs(centred(told)[0][3] - true) < abs(centred(untold)[0][3] - true) / 2


def test_without_history_early_scores_are_expected_to_rise() -> None:
    early, late = (forecast(default_trend(SHARES), [Seen("a", SHARES[:n], (0.5,) * n)]) for n in (1, 3))
    assert early.mean[0] > 0.6 > late.mean[0]
    assert early.sd[0] > 2 * late.sd[0]


def test_a_newcomer_is_taken_for_one_of_its_community() -> None:
    slow = ["m1", "m2", "m3", "m4"]
    zoo = [one for one in make_zoo(slow=slow) if one.model != "m3"]
    runs = make_field("new", np.random.default_rng(5), slow=slow)
    true = deviations(runs)[3]

    told, untold, elsewhere = (
        abs(centred(forecast(learn_trend(zoo, SHARES, communities), seen_until(runs, 1)))[0][3] - true)
        for communities in (dict.fromkeys(slow, "slow"), {}, {"m3": "others", "m5": "others", "m6": "others"})
    )

    assert told < untold / 2
    assert elsewhere > untold / 2


def test_a_model_of_many_runs_keeps_its_own_shift_in_a_community_that_differs() -> None:
    zoo = make_zoo(40, slow=["m3"])
    alone = learn_trend(zoo, SHARES).shifts["m3"]
    among = learn_trend(zoo, SHARES, {f"m{place}": "all" for place in range(12)}).shifts
    assert among["m3"][CURVE] == pytest.approx(alone[CURVE], rel=0.1)
    assert abs(among["m5"][CURVE]) < 0.2 * abs(among["m3"][CURVE])


def test_without_history_it_follows_the_curve_within_wide_intervals() -> None:
    runs = [
        Seen(name, SHARES[:2], scores) for name, scores in (("a", (0.5, 0.6)), ("b", (0.4, 0.5)), ("c", (0.3, 0.45)))
    ]
    found = forecast(learn_trend([], SHARES), runs)
    assert learn_trend([], SHARES) == default_trend(SHARES)
    assert list(np.argsort(-found.mean)) == [0, 1, 2]
    assert (found.sd > 0.02).all()
    assert 0.4 < found.mean.mean() < 0.7


def test_nothing_seen_makes_all_candidates_equal() -> None:
    found = forecast(learn_trend(make_zoo(), SHARES), [Seen("a"), Seen("b")])
    assert found.mean[0] == found.mean[1] == 0.0
    assert not found.in_units


def test_a_probe_by_another_metric_tells_the_order_and_not_the_level() -> None:
    seen = [Seen("a", probe=0.9), Seen("b", probe=0.8)]
    same, other = (forecast(learn_trend([], SHARES, metric=metric), seen) for metric in ("accuracy", "mcc"))
    assert same.in_units
    assert not other.in_units
    np.testing.assert_allclose(np.diff(other.mean), np.diff(same.mean), rtol=1e-3)
    low = [replace(one, shares=SHARES[:1], scores=(0.2,)) for one in seen]
    curved = forecast(default_trend(SHARES, "mcc"), low)
    assert curved.in_units
    assert (curved.mean < 0.5).all()  # not pulled up to the probes


def test_a_metric_in_large_units_has_expected_ends_all_the_same() -> None:
    large = [
        replace(one, final=-1e4 * one.final, scores=tuple(-1e4 * np.array(one.scores)), probe=one.final)
        for one in make_zoo()
    ]
    trend = learn_trend(large, SHARES, metric="mse")
    assert forecast(trend, seen_until(large[:12], 1)).in_units
    assert forecast(trend, [Seen("a", probe=0.6), Seen("b", probe=0.5)]).in_units


def test_levels_say_what_is_gained_until_the_end() -> None:
    trend = learn_trend(make_zoo(), SHARES)
    runs = make_field("new", np.random.default_rng(6))
    found = forecast(trend, seen_until(runs, 1))
    assert found.in_units
    assert found.mean.mean() == pytest.approx(np.mean([one.final for one in runs]), abs=0.03)


def test_a_field_of_two_or_one_whose_runs_end_alike_teaches_nothing() -> None:
    two = [Curve("a", "x", SHARES, (0.1, 0.2, 0.3), 0.3), Curve("b", "x", SHARES, (0.1, 0.2, 0.4), 0.4)]
    alike = [Curve(name, "y", SHARES, (0.1, 0.2, 0.3), 0.3) for name in "abcd"]
    assert learn_trend([*two, *alike], SHARES) == default_trend(SHARES)


def test_points_between_those_recorded_are_interpolated_and_those_before_are_not_known() -> None:
    coarse = [replace(one, shares=(0.5, 1.0), scores=one.scores[1:]) for one in make_zoo()]
    trend = learn_trend(coarse, (0.25, 0.75, 1.0))
    covariance = np.array(trend.covariance)
    guess = np.array(default_trend((0.25, 0.75, 1.0)).covariance)
    assert covariance[CURVE + 1, CURVE + 1] < 2.0
    mine, guessed = (  # what is left of the first point once the others are known
        1.0 / np.linalg.inv(np.delete(np.delete(of, PROBE, 0), PROBE, 1))[CURVE - 1, CURVE - 1]
        for of in (covariance, guess)
    )
    assert mine == pytest.approx(guessed)


def test_columns_that_no_run_has_leave_what_is_learnt_of_the_others_as_it_is() -> None:
    rng = np.random.default_rng(12)
    blurred = [
        replace(one, scores=tuple(0.6 + 0.05 * rng.standard_normal(3)), recalled=math.nan) for one in make_zoo(60)
    ]
    covariance = np.array(learn_trend(blurred, SHARES).covariance)
    assert np.abs(covariance[FINAL, CURVE:]).max() < 0.1
    assert covariance[FINAL, FINAL] == pytest.approx(1.0, abs=0.05)
    assert (np.linalg.eigvalsh(covariance) > 0.0).all()


def test_simulated_ends_are_spread_as_the_forecast_says() -> None:
    trend = learn_trend(make_zoo(40), SHARES)
    seen = seen_until(make_field("new", np.random.default_rng(7)), 0)
    rng = np.random.default_rng(0)
    drawn = np.array([simulate(trend, seen, rng)[1] for _ in range(2000)])
    drawn -= drawn.mean(axis=1, keepdims=True)
    mean, sd = centred(forecast(trend, seen))
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(drawn.std(axis=0), sd, rtol=0.2)


@pytest.mark.parametrize("points", [0, 1, 2])
def test_expectations_move_as_far_as_was_said(points: int) -> None:
    trend = learn_trend(make_zoo(60), SHARES)
    rng = np.random.default_rng(9)
    moved, said = [], []
    for place in range(80):
        runs = make_field(f"new{place}", rng)
        now = forecast(trend, seen_until(runs, points))
        (ahead,) = lookahead(trend, seen_until(runs, points), [1.0])
        later = forecast(trend, seen_until(runs, 3))
        np.testing.assert_allclose(ahead.mean, now.mean)
        moved.append(centred(later)[0] - centred(now)[0])
        said.append(centred(ahead)[1])
    assert np.sqrt(np.mean(np.square(moved))) == pytest.approx(np.sqrt(np.mean(np.square(said))), rel=0.15)


def test_a_later_stop_promises_more_and_the_end_not_what_no_curve_resolves() -> None:
    trend = learn_trend(make_zoo(40), SHARES)
    seen = seen_until(make_field("new", np.random.default_rng(10)), 0)
    sds = [centred(one)[1] for one in lookahead(trend, seen, SHARES)]
    assert (sds[0] < sds[1]).all()
    assert (sds[1] < sds[2]).all()
    assert (sds[2] < centred(forecast(trend, seen))[1]).all()


def test_a_good_model_s_probe_counts_in_full_though_its_final_scores_are_noisy() -> None:
    rng = np.random.default_rng(11)
    able = np.linspace(-0.05, 0.05, 12)

    def noisy(name: str) -> list[Curve]:
        finals = 0.7 + able + 0.05 * rng.standard_normal(12)
        probes = 0.6 + able + 0.01 * rng.standard_normal(12)
        return [
            Curve(f"m{at}", name, (), (), float(final), probe=float(probe))
            for at, (final, probe) in enumerate(zip(finals, probes, strict=True))
        ]

    trend = learn_trend([run for place in range(20) for run in noisy(f"d{place}")], SHARES)
    found = forecast(trend, [Seen(f"m{at}", probe=float(0.6 + one)) for at, one in enumerate(able)])
    assert list(np.argsort(found.mean)) == list(range(12))


def test_draws_have_the_moments_of_the_forecast() -> None:
    trend = learn_trend(make_zoo(), SHARES)
    found = forecast(trend, seen_until(make_field("new", np.random.default_rng(8)), 1))
    draws = found.draws(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(draws.mean(axis=0), found.mean, atol=0.003)
    np.testing.assert_allclose(draws.std(axis=0), found.sd, rtol=0.05)
