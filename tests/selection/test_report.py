import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from selection import chart, report
from selection.errors import InputError
from selection.outlook import borne_out, estimate
from selection.page import brute_force_seconds
from selection.race import NO_PROGRESS, CutOff, Decided, Event, Failed, Finished, Probed, Revived, Trained
from selection.records import Candidate, Outcome, Pick, Plan, Recipe
from selection.runner import select
from selection.schedule import plan
from selection.simulated import Recorded, SimulatedTrainer
from selection.wording import percent

EVIL = "<script>alert('$x_1$')</script>&\"org\""


class Reader(HTMLParser):
    """Collects a page's text, tags and attributes, and checks that every tag is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def rising(final: float, fails_at: int | None = None) -> Recorded:
    return Recorded((10, 100), (final - 0.2, final), test=final, fails_at=fails_at)


def planned(names: list[str], probes: dict[str, float] | None = None) -> Plan:
    recipe = Recipe(total_steps=100, warmup_steps=5)
    return plan(
        [Candidate(name) for name in names],
        recipe,
        seconds_per_step=lambda one: 2.0,
        probes=probes,
        policy="successive_halving",
    )


def outcome_of(runs: dict[str, Recorded], folder: Path) -> Outcome:
    trainer = SimulatedTrainer(runs)
    probes = {name: run.test for name, run in runs.items()}
    return select("beans", planned(list(runs), probes), trainer, folder, n_validation=400, n_test=900)


def with_recipe(outcome: Outcome, **changed: Any) -> Outcome:
    """The outcome as if its recipe had been another."""
    recipe = replace(outcome.plan.trials[0].recipe, **changed)
    trials = tuple(replace(trial, recipe=recipe) for trial in outcome.plan.trials)
    return replace(outcome, plan=replace(outcome.plan, trials=trials))


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    runs = {
        "org/best": rising(0.9),
        "org/near": rising(0.89),
        EVIL: rising(0.7),
        "org/broken": rising(0.8, fails_at=20),
    }
    return outcome_of({**runs, "org/weak": rising(0.4)}, tmp_path / "race")


def test_the_page_answers_first_and_shows_error_and_checkpoint(outcome: Outcome, tmp_path: Path) -> None:
    page = Reader(report.write(outcome, tmp_path / "out"))
    text = page.text
    assert page.open == []
    assert text.index("Which of 5 candidates should be fine-tuned on beans?") < text.index("org/best") + 200
    assert "0.900 ± 0.010" in text  # sqrt(.9 * .1 / 900)
    assert "900 test rows" in text
    assert str(outcome.checkpoint) in text
    assert "tied with org/near" in text


def test_the_page_says_who_left_when_and_why(outcome: Outcome, tmp_path: Path) -> None:
    text = Reader(report.write(outcome, tmp_path / "out")).text
    assert "left at the probe org/weak place 5 of 5 at the probe; 4 went on" in text
    assert "failed in rung 1 org/broken recorded to fail at step 20" in text
    assert "left at step 50 org/near place 2 of 2 at step 50; 1 went on" in text


def test_the_page_loads_nothing_and_runs_nothing(outcome: Outcome, tmp_path: Path) -> None:
    path = report.write(outcome, tmp_path / "out")
    page = Reader(path)
    assert "script" not in page.tags
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    links = [value for name, value in page.attributes if name in {"href", "src", "xlink:href"}]
    assert all(link.startswith("#") for link in links)
    assert re.findall(r"url\((?!#)", path.read_text(encoding="utf-8")) == []
    assert EVIL in page.text


def test_the_race_is_a_png_too(outcome: Outcome, tmp_path: Path) -> None:
    report.write(outcome, tmp_path / "out")
    assert (tmp_path / "out" / "race.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["race.png", "report.html"]


def test_the_cost_stands_beside_brute_force_and_one_full_run(outcome: Outcome, tmp_path: Path) -> None:
    text = Reader(report.write(outcome, tmp_path / "out")).text
    trained = sum(one.progress.step for one in outcome.standings)
    assert f"this race {trained} " in text
    assert "one full run, the least possible 100 1 min 40 s the winner's" in text
    assert "every candidate to the end 500 8 min 20 s estimated" in text


def test_one_candidate_has_a_page_without_rivals(tmp_path: Path) -> None:
    text = Reader(report.write(outcome_of({"org/only": rising(0.8)}, tmp_path / "race"), tmp_path / "out")).text
    assert "How well does the one candidate do on beans?" in text
    assert "there was no other candidate" in text
    assert "Who left" not in text


def test_many_candidates_are_all_in_the_table(tmp_path: Path) -> None:
    runs = {f"org/m{index:02}": rising(0.5 + index / 100) for index in range(30)}
    text = Reader(report.write(outcome_of(runs, tmp_path / "race"), tmp_path / "out")).text
    assert all(name in text for name in runs)


def test_regret_is_in_points_against_brute_forces_choice_and_the_oracle(outcome: Outcome, tmp_path: Path) -> None:
    verify = {"org/best": 0.90, "org/near": 0.91, EVIL: 0.7}
    truth = {"org/best": 0.850, "org/near": 0.862, EVIL: 0.881}
    text = Reader(report.write(outcome, tmp_path / "out", verify=verify, truth=truth)).text
    assert "this race's winner 0.850" in text
    assert "brute force's choice, org/near 0.862 1.2" in text
    assert f"the best there was, {EVIL} 0.881 3.1" in text


def test_a_truth_without_the_winner_is_refused(outcome: Outcome, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without org/best, wanted one for the winner"):
        report.write(outcome, tmp_path / "out", truth={"org/near": 0.5})


def test_what_recall_said_is_shown_with_its_reasons_and_notes(outcome: Outcome, tmp_path: Path) -> None:
    pick = Pick(1, Candidate("org/best"), 0.8, 0.7, 0.9, "accuracy", 1, ("best <mean> of 9 datasets",))
    text = Reader(report.write(outcome, tmp_path / "out", picks=[pick], recall_notes=["a tiny zoo"])).text
    assert "1 org/best 0.800 [0.700, 0.900] 1 best <mean> of 9 datasets" in text
    assert "a tiny zoo" in text


def test_a_metric_without_known_error_says_so(outcome: Outcome, tmp_path: Path) -> None:
    other = replace(with_recipe(outcome, metric="macro_f1"), metric="macro_f1")
    text = Reader(report.write(other, tmp_path / "out")).text
    assert "±" not in text
    assert (
        "no standard error is shown for the test score: macro_f1 needs each row's prediction, and only scores are kept"
        in text
    )


def test_a_negated_error_is_called_so_and_larger_is_better_wherever_it_is_shown(
    outcome: Outcome, tmp_path: Path
) -> None:
    other = replace(with_recipe(outcome, metric="mse"), metric="mse", test_score=-0.13)
    lines = report.lines(other)
    assert lines[1] == "test        negative mse -0.130 (larger is better) on 900 test rows, measured once"
    assert "validation negative mse" in lines[4]
    assert report.plan_lines(other.plan)[0].endswith("judged by validation negative mse (larger is better)")
    path = report.write(other, tmp_path / "out")
    text = Reader(path).text
    assert "Test negative mse -0.130 larger is better" in text
    assert re.findall(r"(?<!negative )\bmse\b", path.read_text(encoding="utf-8")) == []
    assert "validation negative mse" in str(chart.draw(other).axes[0].get_ylabel())


def test_drawing_touches_no_global_state(outcome: Outcome, tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    report.write(outcome, tmp_path / "out")
    assert dict(matplotlib.rcParams) == before


def test_the_terminal_shows_answer_ranking_and_cost(outcome: Outcome) -> None:
    lines = report.lines(outcome)
    assert lines[0] == "best        org/best"
    assert lines[1] == "test        accuracy 0.900 ± 0.010 on 900 test rows, measured once"
    assert re.fullmatch(r"1  org/best +0\.900 \[0\.87\d, 0\.92\d\] +100 +won", lines[5])
    assert re.search(r"0\.010 tied +left at step 50", lines[6])
    assert next(line for line in lines if line.startswith("5  org/broken")).endswith("failed in rung 1")
    assert "failed      org/broken: recorded to fail at step 20" in lines
    assert any("of the 500 of training all of them" in line for line in lines)


def rescued(folder: Path, name: str = "org/high") -> Outcome:
    """A race whose best candidate at step 50 failed on the way to the end, so that the one behind it came back."""
    runs = {name: rising(0.9, fails_at=80), "org/low": rising(0.8)}
    return outcome_of({**runs, "org/worse": rising(0.5)}, folder)


def test_a_candidate_that_stood_higher_and_failed_is_named_with_both_scores(tmp_path: Path) -> None:
    ended = rescued(tmp_path / "race", EVIL)
    assert ended.best.candidate.model == "org/low"
    page = Reader(report.write(ended, tmp_path / "out"))
    said = f"stood higher: {EVIL} (0.789 against 0.689 at step 50; failed in rung 2); no other candidate that trained"
    assert said in page.text
    assert "script" not in page.tags


def test_the_distance_of_a_failed_candidate_is_shown_on_page_and_terminal(tmp_path: Path) -> None:
    ended = rescued(tmp_path / "race")
    row = next(line for line in report.lines(ended) if re.match(r"\d +org/high", line))
    assert re.search(r"50 +0\.100 above +failed in rung 2$", row)
    assert "50 0.100 above 0.900 " in Reader(report.write(ended, tmp_path / "out")).text


def test_a_failed_candidate_within_the_error_is_said_to_be_tied_and_to_have_failed(tmp_path: Path) -> None:
    runs = {"org/best": rising(0.9), "org/near": rising(0.89, fails_at=80), "org/worse": rising(0.5)}
    ended = outcome_of(runs, tmp_path / "race")
    best, *rest = ended.standings
    near = next(one for one in rest if one.candidate.model == "org/near")
    failed = replace(near, dropped="failed", rung=2)
    text = Reader(report.write(replace(ended, standings=(best, failed)), tmp_path / "out")).text
    assert "tied with org/near (failed in rung 2): where they last met" in text


def test_one_that_was_dropped_while_higher_is_named_and_whether_by_more_than_the_error(tmp_path: Path) -> None:
    runs = {f"org/{letter}": rising(final) for letter, final in (("a", 0.9), ("b", 0.7), ("c", 0.6))}
    ended = outcome_of(runs, tmp_path / "race")
    best, left, _ = ended.standings
    higher = replace(left, place=2, progress=replace(left.progress, curve=(0.95,) * len(left.progress.curve)))
    text = Reader(report.write(replace(ended, standings=(best, higher)), tmp_path / "out")).text
    assert re.search(r"stood higher: org/b \(0\.950 against 0\.\d{3} at step \d+; left at step \d+\); no other", text)


@pytest.mark.parametrize(
    ("changed", "trained"),
    [
        ({"method": "full"}, "all weights"),
        ({"method": "lora", "lora_rank": 4}, "adapters (LoRA, rank 4) and the head"),
        ({"method": "head"}, "the head only"),
    ],
)
def test_plan_and_page_say_what_is_trained(
    outcome: Outcome, tmp_path: Path, changed: dict[str, Any], trained: str
) -> None:
    other = with_recipe(outcome, **changed)
    assert f"{trained} for up to 100 steps" in report.plan_lines(other.plan)[0]
    assert f"Recipe: {trained}, batches of 32" in Reader(report.write(other, tmp_path / "out")).text


def test_plan_and_page_say_which_rates_are_tried(outcome: Outcome, tmp_path: Path) -> None:
    other = with_recipe(outcome, rate_factors=(0.3, 1.0, 3.0))
    said = "each candidate at the best of 0.3, 1, 3 times its rate"
    assert said in report.plan_lines(other.plan)[0]
    assert f"(head 0.001), {said}, 5 warm-up steps" in Reader(report.write(other, tmp_path / "out")).text
    assert "times its rate" not in report.plan_lines(outcome.plan)[0]


def test_a_winner_that_was_trained_alone_is_not_compared_with_others(tmp_path: Path) -> None:
    probes = {"org/a": 0.9, "org/b": 0.1}
    made = plan(
        [Candidate(name) for name in probes],
        Recipe(total_steps=100),
        seconds_per_step=lambda one: 2.0,
        probes=probes,
        probe_survivors=1,
        policy="successive_halving",
    )
    runs = dict.fromkeys(probes, rising(0.8))
    text = Reader(report.write(select("toy", made, SimulatedTrainer(runs), tmp_path / "race"), tmp_path)).text
    assert "no other candidate was trained; judged by the probe alone: 1 of 2" in text
    assert "came within the error" not in text


def test_terminal_and_page_say_which_rate_the_winner_went_on_at(outcome: Outcome, tmp_path: Path) -> None:
    chosen = replace(outcome.best, progress=replace(outcome.best.progress, rate_factor=3.0))
    found = replace(outcome, standings=tuple(chosen if one == outcome.best else one for one in outcome.standings))
    said = f"{outcome.best.candidate.model} at 3 times its own"
    assert any(said in line for line in report.lines(found))
    assert said in Reader(report.write(found, tmp_path)).text
    assert not any("times its own" in line for line in report.lines(outcome))


def test_the_plan_reads_as_rungs_and_seconds() -> None:
    lines = report.plan_lines(planned([f"m{index}" for index in range(8)]))
    assert lines[0].startswith("8 candidates, fine-tuning all weights for up to 100 steps")
    assert [line.split() for line in lines[2:4]] == [
        ["0", "8", "probe", "4", "0", "s"],
        ["1", "4", "step", "25", "2", "3", "min", "20", "s"],
    ]
    assert lines[-1] == (
        "successive halving: 200 steps (25% of the 800 of training all of them), 6 min 40 s expected (with the probe "
        "and the winner's test, at the candidates' mean pace); 200 steps, 6 min 40 s at worst (with both, the slowest "
        "survive every cut); all of them 26 min 40 s (without the probe, at the mean pace)"
    )


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Probed({"a": 0.5, "b": None}), "1 of 2 candidates have a probe score"),
        (Failed(1, "a", "gated"), "rung 1: a failed: gated"),
        (Decided(1, ("a",), ("b", "c")), "rung 1 of 2: a goes on, 2 dropped"),
        (Revived(2, ("b",)), "back in the race: b"),
        (CutOff(2, 60.0), "the clock ended the race after 1 min 0 s"),
        (Finished("a"), "winner a: saved"),
    ],
)
def test_every_event_has_a_line(event: Event, said: str) -> None:
    assert said in report.event_line(event, planned(["a", "b"]))


def test_a_trained_event_shows_score_and_step(tmp_path: Path) -> None:
    told: list[Event] = []
    runs = {"a": rising(0.8)}
    select("beans", planned(["a"]), SimulatedTrainer(runs), tmp_path, track=told.append)
    trained = next(event for event in told if isinstance(event, Trained))
    assert report.event_line(trained, planned(["a"])) == "rung 1: a 0.800 at step 100"
    assert not math.isnan(trained.progress.score)


def test_a_race_says_by_what_chance_each_was_dropped_and_how_many_really_raced(tmp_path: Path) -> None:
    runs = {f"org/m{place}": rising(0.5 + place / 20) for place in range(8)}
    made = replace(planned(list(runs), {name: run.test for name, run in runs.items()}), policy="racing", price=1.0)
    ended = select("beans", made, SimulatedTrainer(runs), tmp_path / "race")
    text = Reader(report.write(ended, tmp_path / "out")).text
    assert "chance to end best, as forecast at the probe, not worth its steps; 1 went on" in text
    assert "probe 8 → 1" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "racing:" in "\n".join(report.plan_lines(made))
    assert "how runs end is guessed" in "\n".join(report.plan_lines(made))


def test_one_left_out_for_want_of_a_place_is_not_said_to_be_worth_too_little(tmp_path: Path) -> None:
    runs = {f"org/m{place}": rising(0.7) for place in range(8)}
    made = replace(planned(list(runs)), policy="racing", price=0.0)
    reasons = {one.reason for one in select("beans", made, SimulatedTrainer(runs), tmp_path).standings if one.reason}
    assert any("4 went on" in reason for reason in reasons)
    assert not any("not worth its steps; 4 went on" in reason for reason in reasons)


def test_brute_force_is_estimated_by_the_size_of_those_that_never_trained(raced: Outcome) -> None:
    won, *others = raced.standings
    trained = replace(won, candidate=replace(won.candidate, n_parameters=40))
    rest = [replace(one, candidate=replace(one.candidate, n_parameters=10), progress=NO_PROGRESS) for one in others]
    of_one = replace(raced, standings=(trained, *rest))
    own = won.progress.seconds / won.progress.step * 100
    assert brute_force_seconds(of_one) == pytest.approx(own * (1 + len(rest) / 4))
    unknown = replace(of_one, standings=(replace(trained, candidate=won.candidate), *rest))
    assert brute_force_seconds(unknown) == pytest.approx(own * (1 + len(rest)))


def test_a_race_by_forecasts_tells_the_expected_end_beside_who_left_and_why(raced: Outcome, tmp_path: Path) -> None:
    text = Reader(report.write(raced, tmp_path / "out")).text
    left = {one.candidate.model.removeprefix("org/"): one for one in raced.standings}
    c, e, b = (f"to end at {estimate(left[name].expected[rung].end)}" for name, rung in (("c", 1), ("e", 0), ("b", 2)))
    assert f"left at the probe org/e expected {e}; {left['e'].reason}" in text
    assert f"left at step 25 org/c expected {c}; {left['c'].reason}" in text
    beaten = "expected to be below the winner, by all that is known at step 100"
    assert f"raced to the end org/b expected at step 50 {b}; {beaten}" in text
    assert "The winner was chosen by what recall, probes and validation scores together let expect" in text
    assert "failed in rung 1 org/f no memory" in text
    assert "the end that the last decision expected of each candidate" in text


def test_a_race_by_forecasts_tells_of_each_stop_who_went_on_with_end_and_chance(raced: Outcome, tmp_path: Path) -> None:
    text = Reader(report.write(raced, tmp_path / "out")).text
    best, second = (one.expected[2] for one in raced.standings[:2])
    went_on = sorted([("org/a", best), ("org/b", second)], key=lambda one: -(one[1].end.score if one[1].end else 0))
    said = " ".join(f"{model} {estimate(of.end)} {percent(of.chance)}" for model, of in went_on)
    assert f"step 50, 3 → 2 {said} all 3 others" in text
    assert "the probe, 6 → 4" in text
    assert "org/d back " in text
    assert "(a whole run: 0.005)" in text
    assert "how runs end is guessed" in text


def test_page_and_terminal_say_whether_expectations_held(raced: Outcome, tmp_path: Path) -> None:
    said = borne_out(raced)
    assert said is not None
    assert f"forecast    {said}" in report.lines(raced)
    assert f"E{said[1:]}." in Reader(report.write(raced, tmp_path / "out")).text


def test_names_beyond_the_eighth_that_went_on_share_a_line(raced: Outcome, tmp_path: Path) -> None:
    of = replace(raced.standings[0].expected[0], chance=0.05)
    many = [
        replace(raced.standings[0], place=n, candidate=Candidate(EVIL if n == 1 else f"org/m{n:02}"), expected=(of,))
        for n in range(1, 13)
    ]
    page = Reader(report.write(replace(raced, standings=tuple(many)), tmp_path / "out"))
    outlook = page.text[page.text.index("What each stop expected") : page.text.index("What it cost")]
    assert EVIL in outlook
    assert "script" not in page.tags
    assert "org/m08" in outlook
    assert "org/m09" not in outlook
    assert "4 more 20 %" in outlook


def test_a_single_one_left_behind_is_the_other(raced: Outcome, tmp_path: Path) -> None:
    ahead = [one for one in raced.standings if one.expected][:2]
    one = replace(ahead[1], expected=(replace(ahead[1].expected[0], went_on=False),))
    path = report.write(replace(raced, standings=(ahead[0], one)), tmp_path / "out")
    assert "the other" in Reader(path).text
    assert "all 1 others" not in Reader(path).text


def test_other_policies_have_no_expected_ends(outcome: Outcome, tmp_path: Path) -> None:
    text = Reader(report.write(outcome, tmp_path / "out")).text
    assert "to end at" not in text
    assert "What each stop expected" not in text
    assert not [line for line in report.lines(outcome) if line.startswith("forecast")]
