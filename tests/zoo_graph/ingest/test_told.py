from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zoo_graph.ingest.told import contradictions, tell, untell


def after(node: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """The node with a change made as a store makes it: None takes a property away."""
    return {name: value for name, value in {**node, **changed}.items() if value is not None}


def told(*words: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    node: dict[str, Any] = {"id": "org/a@1", "name": "org/a"}
    for run, values in words:
        node = after(node, tell(node, run, values))
    return node


def test_the_later_run_wins_and_the_earlier_word_comes_back() -> None:
    node = told(("one", {"license": "mit", "family": "bert"}), ("two", {"license": "apache-2.0"}))
    assert (node["license"], node["family"]) == ("apache-2.0", "bert")
    node = after(node, untell(node, "two"))
    assert node == told(("one", {"license": "mit", "family": "bert"}))
    assert after(node, untell(node, "one")) == {"id": "org/a@1", "name": "org/a"}


def test_a_name_nobody_tells_is_the_one_of_the_id() -> None:
    node = told(("one", {"name": "A!"}))
    assert node["name"] == "A!"
    assert after(node, untell(node, "one"))["name"] == "org/a"


def test_a_run_that_tells_again_changes_nothing() -> None:
    node = told(("one", {"license": "mit"}), ("two", {"license": "bsd"}))
    assert tell(node, "one", {"license": "mit"}) == tell(node, "one", {"license": "gpl"}) == {}
    assert untell(node, "three") == {}


def test_what_another_run_tells_otherwise_is_said() -> None:
    node = told(("one", {"license": "mit", "family": "bert"}))
    (text,) = contradictions(node, "two", {"license": "bsd", "family": "bert", "source": "hub"})
    assert text == "license is 'bsd' here and 'mit' in one: kept 'bsd', which came later"
    node = after(node, tell(node, "two", {"license": "bsd"}))
    (text,) = contradictions(node, "one", {"license": "mit"})
    assert text == "license is 'mit' here and 'bsd' in two: kept 'bsd', which came later"


def test_a_long_value_told_otherwise_is_said_shortly() -> None:
    node = told(("one", {"embedding": [0.5] * 256}))
    (text,) = contradictions(node, "two", {"embedding": [0.25] * 256})
    assert text.startswith("embedding is [0.25, 0.25, ")
    assert len(text) < 350


WORDS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.dictionaries(st.sampled_from(["license", "name", "tasks"]), st.sampled_from(["x", "y", ["z"]]), min_size=1),
    ),
    max_size=8,
)


@given(WORDS, st.sampled_from("abc"))
def test_forgetting_a_run_is_as_if_it_had_never_told(words: list[tuple[str, dict[str, Any]]], run: str) -> None:
    node = told(*words)
    without = told(*(word for word in words if word[0] != run))
    assert after(node, untell(node, run)) == without
