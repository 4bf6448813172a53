from pathlib import Path

import pytest

from zoo_graph.aliases import clean_id, each_of, key_of, plain_name, versioned
from zoo_graph.errors import InputError


def test_a_slash_written_as_dashes_is_read_once() -> None:
    assert clean_id("google--vit--base", slash="--") == "google/vit--base"


@pytest.mark.parametrize("name", ["", "   ", "two\nlines", "x" * 513])
def test_what_cannot_be_an_id_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no id"):
        clean_id(name)


def test_ids_that_differ_in_case_only_are_one() -> None:
    assert key_of("Org/Model") == key_of(" org/MODEL ")
    assert key_of("org/model-a") != key_of("org/model-b")


def test_a_version_has_config_before_revision() -> None:
    assert versioned("glue", config="sst2", revision="3") == "glue:sst2@3"
    assert versioned("glue") == "glue"


def test_the_plain_name_has_no_revision() -> None:
    assert plain_name("org/model@abc@d") == "org/model"
    assert plain_name("@odd") == "@odd"


def test_one_name_or_path_by_itself_is_one_and_not_its_letters() -> None:
    assert each_of("imdb") == ["imdb"]
    assert each_of(Path("a/b")) == [Path("a/b")]
    assert each_of(("imdb", "sst2")) == ["imdb", "sst2"]
    assert each_of(iter(())) == []
