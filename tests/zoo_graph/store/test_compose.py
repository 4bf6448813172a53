"""docker-compose.yml as docker-compose itself reads it; no container is started."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture
def read_compose(missing_here: Callable[[str], None]) -> Callable[..., dict[str, Any]]:
    """A function that returns the file's services, secrets and volumes under some environment."""
    if shutil.which("docker-compose") is None:
        missing_here("docker-compose is not installed (Debian: apt-get install docker-compose)")

    def read(**environment: str) -> dict[str, Any]:
        command = ["docker-compose", "--file", "docker-compose.yml", "config"]
        plain = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**plain, **environment})
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        tree: dict[str, Any] = yaml.safe_load(done.stdout)
        return tree

    return read


def test_it_is_the_neo4j_the_tests_run_on(read_compose: Callable[..., dict[str, Any]]) -> None:
    assert read_compose()["services"]["neo4j"]["image"] == "neo4j:5.26-community"


def test_every_port_is_open_on_this_machine_only(read_compose: Callable[..., dict[str, Any]]) -> None:
    ports = read_compose(NEO4J_BOLT_PORT="17687")["services"]["neo4j"]["ports"]
    assert ports == ["127.0.0.1:17687:7687/tcp", "127.0.0.1:7474:7474/tcp"]


def test_the_password_comes_from_a_file_and_has_no_default(read_compose: Callable[..., dict[str, Any]]) -> None:
    tree = read_compose(NEO4J_AUTH_FILE="/somewhere/auth")
    environment = tree["services"]["neo4j"]["environment"]
    assert tree["secrets"]["neo4j_auth"]["file"] == "/somewhere/auth"
    assert environment["NEO4J_AUTH_FILE"] == "/run/secrets/neo4j_auth"
    assert "NEO4J_AUTH" not in environment
    ignored = subprocess.run(["git", "check-ignore", "-q", "secrets/neo4j_auth"], cwd=ROOT)
    assert ignored.returncode == 0


def test_statements_have_limits_and_read_no_files(read_compose: Callable[..., dict[str, Any]]) -> None:
    environment = read_compose()["services"]["neo4j"]["environment"]
    assert environment["NEO4J_db_transaction_timeout"] == "120s"
    assert environment["NEO4J_db_memory_transaction_max"] == "512m"
    assert environment["NEO4J_dbms_security_allow__csv__import__from__file__urls"] == "false"


def test_data_outlive_the_container_and_its_health_is_watched(read_compose: Callable[..., dict[str, Any]]) -> None:
    tree = read_compose()
    service = tree["services"]["neo4j"]
    assert service["volumes"] == ["neo4j-data:/data:rw"]
    assert "neo4j-data" in tree["volumes"]
    assert "RETURN 1" in service["healthcheck"]["test"][1]
    assert service["mem_limit"] == "3g"
