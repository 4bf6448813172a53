"""What the environment says, read once at the CLI's edge."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """From ZOO (a folder or server), ZOO_USER, ZOO_PASSWORD or ZOO_PASSWORD_FILE, and ZOO_CHECKPOINTS (a folder)."""

    zoo: str = "zoo.db"
    user: str | None = None
    password: str | None = None
    checkpoints: Path | None = None


def read_settings() -> Settings:
    """Reads the environment; the password's file stands before its variable."""
    file = os.environ.get("ZOO_PASSWORD_FILE")
    password = Path(file).read_text().strip() if file else os.environ.get("ZOO_PASSWORD")
    checkpoints = os.environ.get("ZOO_CHECKPOINTS")
    return Settings(
        zoo=os.environ.get("ZOO", "zoo.db"),
        user=os.environ.get("ZOO_USER"),
        password=password,
        checkpoints=Path(checkpoints) if checkpoints else None,
    )
