"""Models that were trained on the target are marked, and excluded where that is asked for."""

from dataclasses import replace

import numpy as np

from selection.recall import Constraints, Evidence, recall
from selection.recall.constraints import admit
from selection.records import Candidate

SCORES = 0.5 + 0.05 * np.arange(5)[:, None] + 0.01 * np.random.default_rng(0).normal(size=(5, 6))
PLAIN = Evidence(tuple(Candidate(name) for name in "abcde"), tuple("uvwxyz"), SCORES, target="glue:sst2")
SEEN = replace(PLAIN, seen={"e": "pretrained on glue:sst2", "c": "derived from e, pretrained on glue:sst2"})


def test_a_pick_that_has_seen_the_target_says_so_first() -> None:
    picks = {pick.model: pick for pick in recall(SEEN, 5).picks}
    assert picks["e"].reasons[0] == "pretrained on glue:sst2: its score there may be inflated"
    assert picks["c"].reasons[0].startswith("derived from e, pretrained on glue:sst2: ")
    assert not any("inflated" in reason for reason in picks["d"].reasons)


def test_being_marked_changes_no_score_and_no_order() -> None:
    marked, plain = recall(SEEN, 5).picks, recall(PLAIN, 5).picks
    assert [(pick.model, pick.score, pick.low) for pick in marked] == [
        (pick.model, pick.score, pick.low) for pick in plain
    ]


def test_picks_that_have_seen_the_target_are_counted_in_a_note_with_the_way_out() -> None:
    told = "2 of 5 picks were trained on your data: pass --exclude-pretrained (exclude_pretrained=True) to leave such"
    assert any(note.startswith(told) for note in recall(SEEN, 5).notes)
    assert any(note.startswith("1 of 1 pick was trained") for note in recall(SEEN, 1).notes)
    assert not any("trained on your data" in note for note in recall(PLAIN, 5).notes)


def test_excluded_they_are_no_picks_and_the_rule_names_the_dataset() -> None:
    found = recall(SEEN, 5, constraints=Constraints(exclude_pretrained=True))
    assert {pick.model for pick in found.picks} == set("abd")
    rules = {one.model: one.rule for one in found.excluded}
    assert rules == {"c": "derived from e, pretrained on glue:sst2", "e": "pretrained on glue:sst2"}
    assert "2 of 5 models excluded: trained on the data asked about" in found.notes


def test_without_the_wish_all_are_admitted_and_what_is_not_known_excludes_nobody() -> None:
    assert admit(SEEN.candidates, Constraints(), SEEN.seen).kept == (0, 1, 2, 3, 4)
    assert admit(SEEN.candidates, Constraints(exclude_pretrained=True)).kept == (0, 1, 2, 3, 4)
