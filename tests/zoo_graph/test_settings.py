"""What the environment says, and what is told where it says nonsense."""

from pathlib import Path

import pytest

from zoo_graph.errors import InputError
from zoo_graph.settings import read_settings


def test_an_empty_environment_is_a_zoo_beside_us() -> None:
    settings = read_settings({"ZOO": "", "PATH": "/bin"})
    assert (settings.zoo, settings.user, settings.password, settings.checkpoints) == ("zoo.db", None, None, None)


def test_the_passwords_file_stands_before_its_variable(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from the file\n")
    settings = read_settings({"ZOO_PASSWORD": "from the variable", "ZOO_PASSWORD_FILE": str(tmp_path / "password")})
    assert settings.password is not None
    assert settings.password.get_secret_value() == "from the file"


def test_a_password_is_never_shown() -> None:
    settings = read_settings({"ZOO_USER": "neo4j", "ZOO_PASSWORD": "hunter2"})
    assert settings.user == "neo4j"
    assert "hunter2" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff\xfe\xff", "cannot be read")]
)
def test_a_password_file_that_is_of_no_use_is_told_by_its_variable(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    with pytest.raises(InputError, match=rf"ZOO_PASSWORD_FILE=.*password.*{reason}"):
        read_settings({"ZOO_PASSWORD_FILE": str(tmp_path / "password")})


def test_a_folder_of_checkpoints_that_is_none_is_told_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"got ZOO_CHECKPOINTS=.*nowhere"):
        read_settings({"ZOO_CHECKPOINTS": str(tmp_path / "nowhere"), "ZOO_PASSWORD": "hunter2"})
