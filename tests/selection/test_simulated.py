from dataclasses import replace
from pathlib import Path

import pytest

from selection.errors import TrialError
from selection.records import Candidate, Recipe, Trial
from selection.simulated import Recorded, SimulatedTrainer

RUN = Recorded((10, 20, 40), (0.2, 0.4, 0.6), test=0.55, seconds_per_step=2.0)
TRIAL = Trial(Candidate("a"), Recipe(total_steps=40), (5, 15, 40))
TRAINER = SimulatedTrainer({"a": RUN})


def test_the_curve_is_linear_between_recorded_points_and_level_outside() -> None:
    assert [RUN.score(step) for step in (1, 10, 15, 30, 40, 99)] == pytest.approx([0.2, 0.2, 0.3, 0.5, 0.6, 0.6])


def test_training_in_pieces_shows_what_training_at_once_shows(tmp_path: Path) -> None:
    TRAINER.train(TRIAL, 15, tmp_path / "pieces")
    in_pieces = TRAINER.train(TRIAL, 40, tmp_path / "pieces")
    at_once = TRAINER.train(TRIAL, 40, tmp_path / "once")
    assert in_pieces == at_once
    assert at_once.curve_steps == (5, 15, 40)
    assert at_once.curve == pytest.approx((0.2, 0.3, 0.6))
    assert at_once.seconds == 80


def test_a_reached_step_is_answered_without_training(tmp_path: Path) -> None:
    first = TRAINER.train(TRIAL, 40, tmp_path)
    assert TRAINER.train(TRIAL, 15, tmp_path) == first
    assert (tmp_path / "pieces.log").read_text() == "0 40\n"


def test_a_discarded_trial_starts_over_also_to_a_step_it_had_reached(tmp_path: Path) -> None:
    before = TRAINER.train(TRIAL, 15, tmp_path)
    TRAINER.discard(tmp_path)
    with pytest.raises(TrialError, match="train the trial first"):
        TRAINER.test(TRIAL, tmp_path)
    assert TRAINER.train(TRIAL, 15, tmp_path).curve == before.curve
    TRAINER.discard(tmp_path)
    TRAINER.train(TRIAL, 40, tmp_path)
    assert (tmp_path / "pieces.log").read_text() == "0 15\n0 15\n0 40\n"


def test_test_and_save_give_the_recorded_model(tmp_path: Path) -> None:
    TRAINER.train(TRIAL, 40, tmp_path / "trial")
    TRAINER.save(TRIAL, tmp_path / "trial", tmp_path / "best")
    assert TRAINER.test(TRIAL, tmp_path / "trial") == 0.55
    assert '"a"' in (tmp_path / "best" / "config.json").read_text()


def test_a_run_recorded_to_fail_fails_there_and_not_before(tmp_path: Path) -> None:
    trainer = SimulatedTrainer({"a": replace(RUN, fails_at=20)})
    assert trainer.train(TRIAL, 15, tmp_path).step == 15
    with pytest.raises(TrialError, match="fail at step 20"):
        trainer.train(TRIAL, 40, tmp_path)


def test_a_model_without_a_recorded_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="got b"):
        TRAINER.train(replace(TRIAL, candidate=Candidate("b")), 15, tmp_path)
