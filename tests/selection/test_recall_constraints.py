import pytest

from selection.errors import InputError
from selection.recall.constraints import Constraints, admit
from selection.records import Candidate

SMALL = Candidate("small", n_parameters=10, license="MIT", family="bert", modality="text")
LARGE = Candidate("large", n_parameters=1000, license="gpl-3.0", family="vit", modality="image")
UNKNOWN = Candidate("unknown")
ALL = (SMALL, LARGE, UNKNOWN)


def test_without_constraints_everything_is_kept():
    admission = admit(ALL, Constraints())
    assert admission.kept == (0, 1, 2)
    assert admission.excluded == ()
    assert admission.notes == ()


@pytest.mark.parametrize(
    ("constraints", "rule"),
    [
        (Constraints(max_parameters=100), "n_parameters 1,000 > 100"),
        (Constraints(licenses=("mit", "apache-2.0")), "licence gpl-3.0, wanted mit or apache-2.0"),
        (Constraints(modality="text"), "modality image, wanted text"),
        (Constraints(families=("BERT",)), "family vit, wanted BERT"),
    ],
)
def test_each_constraint_excludes_the_breaker_with_its_value_and_the_unknown(constraints, rule):
    admission = admit(ALL, constraints)
    assert admission.kept == (0,)
    assert admission.excluded[0].model == "large"
    assert admission.excluded[0].rule == rule
    assert "unknown" in admission.excluded[1].rule


def test_unknown_values_are_counted_aloud_with_the_way_out():
    notes = admit(ALL, Constraints(licenses=("mit",))).notes
    assert any(
        note == "1 of 3 models excluded: licence unknown; pass --allow-unknown (allow_unknown=True) to keep them"
        for note in notes
    )


def test_unknown_values_are_kept_when_allowed_but_known_breakers_are_not():
    admission = admit(ALL, Constraints(max_parameters=100, licenses=("mit",), modality="text", allow_unknown=True))
    assert admission.kept == (0, 2)


def test_minimum_size_and_names_exclude():
    assert admit(ALL, Constraints(min_parameters=11)).kept == (1,)
    assert admit(ALL, Constraints(exclude=("SMALL",))).kept == (1, 2)


def test_a_range_that_no_model_can_lie_in_is_refused():
    with pytest.raises(InputError, match=r"min_parameters=20 above max_parameters=10"):
        Constraints(min_parameters=20, max_parameters=10)
    with pytest.raises(InputError, match="max_parameters=0"):
        Constraints(max_parameters=0)
