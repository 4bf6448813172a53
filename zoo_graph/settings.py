"""What the environment says, read once at the CLI's edge. Imported when a zoo is opened: pydantic takes its time."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, DirectoryPath, SecretStr, ValidationError

from zoo_graph.errors import InputError

VARIABLES = {"zoo": "ZOO", "user": "ZOO_USER", "password": "ZOO_PASSWORD", "checkpoints": "ZOO_CHECKPOINTS"}
PASSWORD_FILE = "ZOO_PASSWORD_FILE"


class Settings(BaseModel):
    """From ZOO (a folder or server), ZOO_USER, ZOO_PASSWORD or ZOO_PASSWORD_FILE, and ZOO_CHECKPOINTS (a folder)."""

    model_config = ConfigDict(frozen=True)

    zoo: str = "zoo.db"
    user: str | None = None
    password: SecretStr | None = None
    checkpoints: DirectoryPath | None = None


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads the environment; an empty variable counts as none, the password's file stands before its variable.

    Raises:
        InputError: a variable that cannot be used.
    """
    said = {field: environment[name] for field, name in VARIABLES.items() if environment.get(name)}
    if environment.get(PASSWORD_FILE):
        said["password"] = _password_in(Path(environment[PASSWORD_FILE]))
    try:
        return Settings.model_validate(said)
    except ValidationError as error:
        (field, *_), message = error.errors()[0]["loc"], error.errors()[0]["msg"]
        name, value = VARIABLES[str(field)], said[str(field)]
        raise InputError(f"got {name}={value} ({message}): correct the variable, or unset it") from None


def _password_in(file: Path) -> str:
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(
            f"got {PASSWORD_FILE}={file}, which cannot be read ({getattr(error, 'strerror', None) or error}); "
            "wanted a file that holds the password alone: correct the variable, or unset it"
        ) from error
    if not password:
        raise InputError(f"got {PASSWORD_FILE}={file}, which is empty; wanted a file that holds the password alone")
    return password
