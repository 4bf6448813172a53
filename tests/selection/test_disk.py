"""What trials have on disk stays within its budget, whoever gives way for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from tiny import bert_config, bert_tokenizer, made, save

from selection.datasets import Dataset
from selection.disk import DiskBudget, check_budget, default_budget, folder_bytes, saved_bytes, state_bytes
from selection.errors import BudgetError
from selection.executors.executor import Site
from selection.finetune import FineTuner
from selection.folders import trial_folder
from selection.race import Event, Trained
from selection.records import Candidate, Outcome, Plan, Policy, Progress, Recipe, Trial
from selection.runner import Keep, select
from selection.schedule import plan
from selection.simulated import Recorded, SimulatedTrainer

MB = 1 << 20
N_PARAMETERS = 10_000_000
STATE = 12 * N_PARAMETERS
# All the room there is to want, whatever this machine's disk has free.
AMPLE = 1 << 50


def filled(folder: Path, **sizes: int) -> dict[str, Path]:
    for name, size in sizes.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "state.pt").write_bytes(b"x" * size)
    return {name: folder / name for name in sizes}


def emptied(path: Path) -> None:
    (path / "state.pt").unlink(missing_ok=True)


def test_the_worst_ranked_give_way_first_and_no_more_of_them_than_needed(tmp_path: Path) -> None:
    at = filled(tmp_path, best=100, middle=100, worst=100)
    budget = DiskBudget(350, tmp_path, emptied)
    assert budget.admit(tmp_path / "new", 100, [at["worst"], at["middle"], at["best"]])
    assert {name: folder_bytes(path) for name, path in at.items()} == {"best": 100, "middle": 100, "worst": 0}


def test_who_runs_gives_no_way_and_its_room_is_set_aside(tmp_path: Path) -> None:
    at = filled(tmp_path, a=100, b=100)
    budget = DiskBudget(450, tmp_path, emptied)
    order = [at["a"], at["b"]]
    assert budget.admit(at["a"], 100, order)  # 200 for a, 100 for b
    assert not budget.admit(tmp_path / "new", 300, order)
    assert (folder_bytes(at["a"]), folder_bytes(at["b"])) == (100, 0)
    budget.release(at["a"])
    assert budget.admit(tmp_path / "new", 300, order)
    assert budget.is_shared(at["b"])
    assert not budget.is_shared(tmp_path / "new")


def test_a_budget_in_which_one_does_not_fit_alone_is_refused() -> None:
    recipe = Recipe()
    small, large = (Trial(Candidate(f"org/{n}", n_parameters=n * 1_000_000), recipe, (100,)) for n in (10, 1000))
    needed = state_bytes(small) + max(state_bytes(small), saved_bytes(small))
    check_budget(needed, [small])
    with pytest.raises(BudgetError, match=r"got a disk budget of .* MB; wanted at least 24002 MB, what org/1000 takes"):
        check_budget(needed, [small, large])


def test_a_state_is_priced_at_no_less_than_what_its_training_writes(texts: Dataset, tmp_path: Path) -> None:
    from transformers import BertModel

    config = bert_config(hidden_size=256, num_hidden_layers=4, intermediate_size=1024)
    model = made(lambda: BertModel(config))
    source = save(tmp_path / "bert", model, bert_tokenizer())
    candidate = Candidate("bert", str(source), n_parameters=sum(one.numel() for one in model.parameters()))
    recipe = Recipe(total_steps=1, warmup_steps=0, max_length=8, batch_size=4)
    for place, options in enumerate(({}, {"method": "lora"}, {"method": "lora", "lora_rank": 64}, {"method": "head"})):
        trial = Trial(candidate, replace(recipe, **options), (1,))
        folder = tmp_path / str(place)
        FineTuner(texts).train(trial, 1, folder)
        assert sum(path.stat().st_size for path in folder.glob("state-*")) <= state_bytes(trial), options
    assert state_bytes(Trial(Candidate("unknown"), recipe, (1,))) == 0


@pytest.mark.parametrize("name", ["bert", "decoder", "vit", "resnet"])
def test_features_are_priced_as_what_a_head_trial_writes(
    name: str, request: pytest.FixtureRequest, texts: Dataset, pictures: Dataset, tmp_path: Path
) -> None:
    tuner = FineTuner(pictures if name in {"vit", "resnet"} else texts)
    recipe = Recipe("head", total_steps=1, warmup_steps=0, max_length=16)
    trial = Trial(Candidate(name, str(request.getfixturevalue(name))), recipe, (1,))
    tuner.train(trial, 1, tmp_path)
    written = tuner.kept_features_bytes(tmp_path)
    assert 0 < tuner.features_bytes(trial) <= written <= tuner.features_bytes(trial) + 10_000  # two files' frames
    assert tuner.features_bytes(replace(trial, recipe=Recipe())) == 0


def test_who_is_refused_alone_runs_and_gives_no_way_to_those_beside(tmp_path: Path) -> None:
    at = filled(tmp_path, a=100, b=100)
    budget = DiskBudget(250, tmp_path, emptied)
    assert not budget.admit(at["a"], 500, [])
    assert not budget.admit(at["b"], 100, [at["a"]])
    assert folder_bytes(at["a"]) == 100


def test_the_default_is_half_of_what_is_free(tmp_path: Path) -> None:
    import shutil

    assert default_budget(tmp_path) == pytest.approx(shutil.disk_usage(tmp_path).free / 2, rel=0.2)


def hollow(path: Path, n_bytes: int) -> None:
    """A file of that length that takes no room."""
    with path.open("wb") as file:
        file.truncate(n_bytes)


@dataclass(frozen=True, slots=True)
class Weighty(SimulatedTrainer):
    """Writes states as large as real ones, each whole before it replaces the last; notes what the disk then held."""

    root: Path = Path()

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        done = SimulatedTrainer.train(self, trial, until_step, folder)
        hollow(folder / "state.part", STATE)
        self.note(f"{trial.candidate.model} {until_step}")
        (folder / "state.part").replace(folder / "state.pt")
        return done

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        SimulatedTrainer.save(self, trial, folder, target)
        hollow(target / "model.safetensors", 4 * N_PARAMETERS)
        self.note("save 0")

    def note(self, what: str) -> None:
        with self.root.with_suffix(".log").open("a") as log:
            log.write(f"{what} {folder_bytes(self.root)}\n")

    def discard(self, folder: Path) -> None:
        SimulatedTrainer.discard(self, folder)
        (folder / "state.pt").unlink(missing_ok=True)


FEATURES = 40 * MB


@dataclass(frozen=True, slots=True)
class Frozen(Weighty):
    """Head trials: small states beside large features, which are written once."""

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        folder.mkdir(parents=True, exist_ok=True)
        hollow(folder / "features-train.pt", FEATURES)
        done = SimulatedTrainer.train(self, trial, until_step, folder)
        self.note(trial.candidate.model + " head")
        return done

    def features_bytes(self, trial: Trial) -> int:
        return FEATURES

    def kept_features_bytes(self, folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.glob("features-*"))

    def discard(self, folder: Path) -> None:
        Weighty.discard(self, folder)
        (folder / "features-train.pt").unlink(missing_ok=True)


def rising(final: float) -> Recorded:
    return Recorded((5, 25, 100), (final - 0.2, final - 0.1, final), test=final)


RUNS = {f"org/m{index}": rising(0.5 + index / 20) for index in range(8)}


def planned(runs: Mapping[str, Recorded], policy: Policy = "successive_halving") -> Plan:
    return plan(
        [Candidate(name, n_parameters=N_PARAMETERS) for name in runs],
        Recipe(total_steps=100, warmup_steps=5),
        seconds_per_step=lambda one: 0.001,
        policy=policy,
        probe_survivors=8,
    )


def raced(folder: Path, disk_bytes: int, workers: int | Site = 1, keep: Keep = "best") -> tuple[Outcome, list[int]]:
    race = partial(select, "beans", planned(RUNS), Weighty(RUNS, root=folder), folder)
    outcome = race(disk_bytes=disk_bytes, workers=workers, keep=keep)
    return outcome, [int(line.split()[2]) for line in folder.with_suffix(".log").read_text().splitlines()]


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[int]]:
    return raced(tmp_path_factory.mktemp("roomy") / "race", AMPLE)


FIRST = planned(RUNS).trials[0]


def pieces(folder: Path) -> dict[str, list[str]]:
    logs = folder.glob("trials/*/pieces.log")
    return {path.parent.name.rsplit("-", 1)[0]: path.read_text().split("\n")[:-1] for path in logs}


@pytest.mark.parametrize(("workers", "n_states"), [(1, 2), (1, 5), (2, 5)])
def test_a_race_never_holds_more_than_its_budget_and_ends_as_with_all_the_room(
    workers: int, n_states: int, roomy: tuple[Outcome, list[int]], tmp_path: Path
) -> None:
    budget = n_states * state_bytes(FIRST)
    outcome, held = raced(tmp_path / "race", budget, workers)
    free, unbounded = roomy
    assert max(held) <= budget
    assert [one.candidate.model for one in outcome.standings] == [one.candidate.model for one in free.standings]
    assert [one.progress.curve for one in outcome.standings] == [one.progress.curve for one in free.standings]
    assert max(unbounded) > 8 * STATE


def test_the_best_goes_on_where_it_was_and_who_gave_way_starts_anew(tmp_path: Path) -> None:
    raced(tmp_path / "race", 5 * state_bytes(FIRST))
    found = pieces(tmp_path / "race")
    assert all(first.startswith("0 ") for first, *_ in found.values())
    assert [piece.split()[0] for piece in found["org_m7"]] == ["0", *(one.split()[1] for one in found["org_m7"][:-1])]
    raced(tmp_path / "tight", 2 * state_bytes(FIRST))
    assert any(piece.startswith("0 ") for _, *later in pieces(tmp_path / "tight").values() for piece in later)


def test_checkpoints_of_dropped_candidates_are_gone_in_the_end_and_the_winners_is_saved(tmp_path: Path) -> None:
    raced(tmp_path / "race", AMPLE)
    left = sorted(path.name for path in (tmp_path / "race").rglob("*") if path.is_file() and path.stat().st_size > MB)
    assert left == ["model.safetensors"]
    assert (tmp_path / "race" / "best" / "model.safetensors").exists()
    kept = raced(tmp_path / "kept", AMPLE, keep="trials")[0]
    assert trial_folder(tmp_path / "kept", kept.plan.trials[0]).joinpath("state.pt").exists()


def test_the_winner_is_the_same_where_the_disk_has_room_for_few_of_the_last_rung(tmp_path: Path) -> None:
    hyperband = planned(RUNS, policy="hyperband")
    race = partial(select, "beans", hyperband, Weighty(RUNS, root=tmp_path / "race"), tmp_path / "race")
    outcome = race(disk_bytes=2 * state_bytes(FIRST), workers=2)
    assert (outcome.best.candidate.model, outcome.standings[-1].dropped) == ("org/m7", "dropped")


class PowerOutError(Exception):
    """Stands for the power going out."""


def test_a_winner_whose_state_gave_way_is_trained_again_and_wins(tmp_path: Path) -> None:
    def lose(event: Event) -> None:
        if isinstance(event, Trained) and event.progress.step == 100:
            (winner / "weights").unlink()

    winner = trial_folder(tmp_path, next(one for one in planned(RUNS).trials if one.candidate.model == "org/m7"))
    outcome = select("beans", planned(RUNS), SimulatedTrainer(RUNS), tmp_path, track=lose)
    assert (outcome.best.candidate.model, outcome.test_score) == ("org/m7", RUNS["org/m7"].test)
    assert pieces(tmp_path)["org_m7"] == ["0 12", "12 25", "25 50", "50 100", "0 100"]


def test_what_a_kill_left_half_written_makes_nobody_give_way(tmp_path: Path) -> None:
    budget = 5 * state_bytes(FIRST)
    race = partial(select, "beans", planned(RUNS), disk_bytes=budget)
    race(Weighty(RUNS, root=tmp_path / "whole"), tmp_path / "whole")

    def stop(event: Event) -> None:
        if isinstance(event, Trained) and event.rung == 2:
            raise PowerOutError

    folder = tmp_path / "killed"
    trainer = Weighty(RUNS, root=folder)
    with pytest.raises(PowerOutError):
        race(trainer, folder, track=stop)
    (folder / "best.partial.part").mkdir()
    for path in (*folder.glob("trials/*/state.pt"), folder / "best.partial.part" / "model"):
        hollow(path.with_name("state.part"), STATE)
    race(trainer, folder)
    assert pieces(folder) == pieces(tmp_path / "whole")
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize("workers", [1, 3])
def test_features_count_and_a_budget_that_one_trial_s_exceed_is_refused(tmp_path: Path, workers: int) -> None:
    trials = (replace(one, recipe=replace(one.recipe, method="head")) for one in planned(RUNS).trials)
    heads = replace(planned(RUNS), trials=tuple(trials))
    trainer, budget = Frozen(RUNS, root=tmp_path / "race"), 3 * FEATURES
    outcome = select("beans", heads, trainer, tmp_path / "race", disk_bytes=budget, workers=workers)
    assert outcome.best.candidate.model == "org/m7"
    assert max(int(line.split()[2]) for line in (tmp_path / "race.log").read_text().splitlines()) <= budget
    with pytest.raises(BudgetError, match=r"got a disk budget of 84 MB; wanted at least 1\d\d MB"):
        select("beans", heads, trainer, tmp_path / "small", disk_bytes=2 * FEATURES, workers=workers)


def test_a_budget_too_small_for_a_candidate_ends_the_call_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="wanted at least"):
        raced(tmp_path / "race", STATE)
    assert not list((tmp_path / "race").glob("trials/*"))
