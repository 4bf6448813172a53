"""Every policy of the final selection replayed on the demo zoo's recorded curves: regret against cost.

    python benchmarks/selection.py [--measurements JOURNAL] [--json OUT] [--price SCORE ...] [--lists 6]

Each task is the target in turn, with its source held out: recall (with every proxy) orders the candidates, of which the
first K race; trends are learnt from the other sources' runs. A replay decides as a real selection does
(`selection.policies`); points between recorded ones are interpolated. Regret is in points of test score against brute
force's pick by validation score on the same K runs: mean over the seeds of a target, then mean and standard error over
targets. That is noisy: one lucky run decides. So `--lists` also races that many lists of K drawn from recall's first
2 K (or all), and judges a model by its mean test score over the seeds: `quality_regret`, over the first K and those
lists. An epoch is a fifth of a run. Seconds are the recorded runs' (CPU, one thread); features and proxies of all
candidates stand beside. `floor` is the winner's own full run.
"""

import argparse
import gzip
import json
import math
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from demo_recall import read_candidates, read_datasets, read_proxies

from selection.halving import ranked
from selection.measure import measurement_from
from selection.other_trends import learn_clusters
from selection.policies import rehearse
from selection.recall import Evidence, recall
from selection.recall.expectations import expectations
from selection.records import Measurement, Plan, Policy, Progress
from selection.schedule import Learnt, plan
from selection.simulated import Recorded
from selection.trends import Curve, learn_trend
from zoo_graph.demo.seed import group_of
from zoo_graph.descriptions import similarities

EPOCHS = 5
Field = Mapping[str, Measurement]


@dataclass(frozen=True, slots=True)
class Target:
    """A task to select for: models in recall's order, what is known before, and the runs of each seed."""

    name: str
    order: tuple[str, ...]
    recalled: Mapping[str, float]
    probes: Mapping[str, float]
    past: tuple[Curve, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """A policy as it is raced here."""

    policy: Policy
    price: float = 0.005
    equal_stages: bool = False
    with_past: bool = True
    probed: bool = True


@dataclass(frozen=True, slots=True)
class Race:
    """What one replay came to: points of regret, shares of brute force's steps and seconds, epochs."""

    regret: float
    quality_regret: float
    epochs: float
    steps_share: float
    seconds: float
    seconds_share: float
    probe_seconds: float
    floor: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).parent
    parser.add_argument("--measurements", type=Path, default=here / "demo_measurements.jsonl.gz")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--price", type=float, nargs="*", default=[], help="further prices for racing")
    parser.add_argument("--lists", type=int, default=0, help="lists of candidates to draw for each target")
    options = parser.parse_args()
    targets = read_targets(options.measurements)
    print(f"{len(targets)} targets, {sum(len(one.fields) for one in targets)} target-seeds")
    records = []
    for k in (5, 10, len(targets[0].order)):
        for name, way in ways(options.price).items():
            races = {one.name: [race(one, field, one.order[:k], way) for field in one.fields] for one in targets}
            drawn = {
                one.name: [
                    *races[one.name],
                    *(race(one, field, order, way) for order, field in lists(one, k, options.lists)),
                ]
                for one in targets
            }
            records += told(k, name, races, drawn)
    if options.json:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
        head = {"machine": platform.platform(), "command": " ".join(sys.argv), "commit": commit.strip()}
        options.json.write_text(json.dumps([head, *records], indent=1))


def ways(prices: Sequence[float]) -> dict[str, Way]:
    return {
        "brute_force": Way("brute_force"),
        "successive_halving": Way("successive_halving", equal_stages=True, probed=False),
        "successive_halving_after_probe": Way("successive_halving"),
        "hyperband": Way("hyperband"),
        "two_phase": Way("two_phase"),
        "racing": Way("racing"),
        "racing_without_past": Way("racing", with_past=False),
        **{f"racing_at_{price:g}": Way("racing", price) for price in prices},
    }


def read_targets(path: Path) -> list[Target]:
    """The tasks on which every candidate was measured, each with what a zoo without its source knows."""
    fields = read_fields(path)
    models = sorted({model for field in fields.values() for model in field})
    datasets = sorted({name for name, _ in fields})
    scores = np.array(
        [[np.mean([f[m].test_score for (d, _), f in fields.items() if d == name]) for name in datasets] for m in models]
    )
    candidates, proxies = read_candidates(models), read_proxies(models, datasets)
    about = {one.id: one for one in read_datasets(datasets)}
    found = []
    for name in datasets:
        kept = [other for other in datasets if other not in group_of(name)]
        columns, d = [datasets.index(other) for other in kept], datasets.index(name)
        evidence = Evidence(
            candidates, tuple(kept), scores[:, columns],
            {proxy: values[:, d] for proxy, values in proxies.items()},
            {proxy: values[:, columns] for proxy, values in proxies.items()},
            target=name, similarity=similarities([*(about[other] for other in kept), about[name]]),
        )  # fmt: skip
        here, there = expectations(evidence)
        probe = proxies["ridge_probe"]
        past = [
            Curve(
                m, f"{other}|{seed}", tuple(step / 80 for step in run.progress.curve_steps), run.progress.curve,
                run.test_score, float(there[models.index(m), kept.index(other)]),
                float(probe[models.index(m), datasets.index(other)]),
            )
            for (other, seed), field in fields.items() if other in kept for m, run in field.items()
        ]  # fmt: skip
        found.append(
            Target(
                name,
                tuple(pick.model for pick in recall(evidence, k=len(models))),
                dict(zip(models, map(float, here), strict=True)),
                {m: float(probe[place, d]) for place, m in enumerate(models)},
                tuple(past),
                tuple(field for (other, _), field in sorted(fields.items()) if other == name),
            )
        )
    return found


def read_fields(path: Path) -> dict[tuple[str, int], Field]:
    """Runs by (dataset, seed) and model, where every model has one."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    fields: dict[tuple[str, int], dict[str, Measurement]] = defaultdict(dict)
    for line in content.splitlines():
        one = measurement_from(json.loads(line)["measurement"])
        fields[one.dataset, one.recipe.seed][one.model] = one
    whole = max(len(field) for field in fields.values())
    return {key: field for key, field in fields.items() if len(field) == whole}


def lists(target: Target, k: int, n: int) -> Iterator[tuple[tuple[str, ...], Field]]:
    """n draws of k out of recall's first 2 k, in its order, each with the runs of each seed; none where that is all."""
    pool = target.order[: 2 * k]
    rng = np.random.default_rng((k, *target.name.encode()))
    for _ in range(n if k < len(pool) else 0):
        chosen = np.sort(rng.choice(len(pool), k, replace=False))
        for field in target.fields:
            yield tuple(pool[place] for place in chosen), field


def quality(target: Target, model: str) -> float:
    """The model's mean test score over the seeds."""
    return float(np.mean([field[model].test_score for field in target.fields]))


def race(target: Target, field: Field, order: Sequence[str], way: Way) -> Race:
    """One replay of a policy among these candidates, best recalled first."""
    k = len(order)
    recipe = next(iter(field.values())).recipe
    total = recipe.total_steps
    rates = {model: field[model].progress.cpu_seconds / total for model in order}
    made = plan(
        list(read_candidates(list(order))),
        recipe,
        seconds_per_step=rates,
        stops=tuple(total * stage // EPOCHS for stage in range(1, EPOCHS + 1)) if way.equal_stages else None,
        probe_survivors=None if way.probed else k,
        probes=target.probes,
        recalled=target.recalled,
        # A race is planned as halving is, but for the races simulated to tell its cost, which take longest here.
        policy="successive_halving" if way.policy == "racing" else way.policy,
        learn=(lambda shares: learnt(target, tuple(shares), way.policy)) if way.with_past else None,
    )
    made = replace(made, policy=way.policy, price=way.price)
    runs = {model: whole_run(made, field[model]) for model in order}
    rehearsal = rehearse(made, runs)
    winner = rehearsal.winner
    picked = ranked({model: field[model].progress.curve[-1] for model in order}, target.probes)[0]
    steps = trained(made, rehearsal.raced)
    seconds = sum(rates[model] * n for model, n in steps.items())
    return Race(
        regret=100 * (field[picked].test_score - field[winner].test_score),
        quality_regret=100 * (quality(target, picked) - quality(target, winner)),
        epochs=EPOCHS * sum(steps.values()) / total,
        steps_share=sum(steps.values()) / total / k,
        seconds=seconds,
        seconds_share=seconds / (total * sum(rates.values())),
        probe_seconds=sum(field_probe_seconds(target, model) for model in field),
        floor=total * rates[winner],
    )


def whole_run(made: Plan, measured: Measurement) -> Progress:
    """The recorded run at the plan's points."""
    recorded = Recorded(measured.progress.curve_steps, measured.progress.curve, measured.test_score)
    steps = made.trials[0].eval_steps
    return Progress(steps[-1], steps, tuple(recorded.score(step) for step in steps), 0.0, 0.0)


_LEARNT: dict[tuple[str, tuple[float, ...], Policy], Learnt] = {}


def learnt(target: Target, shares: tuple[float, ...], policy: Policy) -> Learnt:
    key = target.name, shares, policy
    if key not in _LEARNT:
        clusters = learn_clusters(target.past, shares) if policy == "two_phase" else None
        _LEARNT[key] = Learnt(learn_trend(target.past, shares), clusters)
    return _LEARNT[key]


def trained(made: Plan, raced: Sequence[Sequence[str]]) -> dict[str, int]:
    """Steps that each candidate trained."""
    reached: dict[str, int] = {}
    for models, rung in zip(raced, made.rungs[1:], strict=True):
        reached |= dict.fromkeys(models, rung.until_step)
    return reached


def field_probe_seconds(target: Target, model: str) -> float:
    """Seconds of features and proxies, measured with the first seed."""
    first = target.fields[0][model]
    return first.feature_seconds + sum(proxy.seconds for proxy in first.proxies if math.isfinite(proxy.seconds))


COLUMNS = ("regret", "epochs", "steps_share", "seconds", "seconds_share", "probe_seconds", "floor")


def told(
    k: int, name: str, races: Mapping[str, Sequence[Race]], drawn: Mapping[str, Sequence[Race]]
) -> list[dict[str, object]]:
    found = {column: over_targets(races, column) for column in COLUMNS}
    found["quality_regret"] = over_targets(drawn, "quality_regret")
    mean = {column: value for column, (value, _) in found.items()}
    n_lists = sum(map(len, drawn.values()))
    print(
        f"K={k:2d} {name:32s} regret {mean['regret']:5.2f} ± {found['regret'][1]:.2f}  "
        f"of quality, {n_lists} races {mean['quality_regret']:5.2f} ± {found['quality_regret'][1]:.2f}  "
        f"epochs {mean['epochs']:5.1f} ({mean['steps_share']:4.0%})  "
        f"seconds {mean['seconds']:5.0f} ({mean['seconds_share']:4.0%}) + features and proxies "
        f"{mean['probe_seconds']:3.0f}  floor {mean['floor']:3.0f}",
        flush=True,
    )
    units = {"regret": "points", "quality_regret": "points", "epochs": "epochs"}
    return [
        {
            "measure": f"selection/K{k}/{name}/{column}",
            "value": value,
            "unit": units.get(column, "1" if "share" in column else "s"),
            "n": len(races),
            "stderr": error,
        }
        for column, (value, error) in found.items()
    ]


def over_targets(races: Mapping[str, Sequence[Race]], column: str) -> tuple[float, float]:
    """Mean and standard error over targets of each target's mean."""
    means = np.array([np.mean([getattr(one, column) for one in of]) for of in races.values()])
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(len(means)))


if __name__ == "__main__":
    main()
