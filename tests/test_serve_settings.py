"""The settings of ``autoglm serve``: from a file, the environment and options, each mistake one sentence."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from api_parts import BASE
from cli_parts import mistake

from open_autoglm.errors import SettingError
from open_autoglm.serving import Settings
from open_autoglm.serving.configuration import read_settings, shown


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "serve.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_the_environment_and_options_win_in_this_order(tmp_path: Path) -> None:
    file = written(tmp_path, 'host = "a"\nport = 1\nsearches = 3\n[requests]\nitems = 7\nbody_seconds = 2\n')
    environment = {
        "AUTOGLM_SERVE_PORT": "2",
        "AUTOGLM_SERVE_HOST": "b",
        "AUTOGLM_SERVE_REQUESTS__ITEMS": "8",
        "AUTOGLM_SERVE_ALLOWED_HOSTS": "x.test, y.test",
        "AUTOGLM_SERVE_FETCHING__PORTS": "[80, 8080]",
        "AUTOGLM_SERVE_FETCHING__ENABLED": "true",
        "AUTOGLM_SERVE_MODELS__BASE": "open-autoglm-base",
        "AUTOGLM_SERVE_INDEXES": "/var/indexes",
        "AUTOGLM_CACHE": "off",
    }
    found = read_settings(Settings, file, environment, {"host": "c"})
    assert (found.host, found.port, found.searches) == ("c", 2, 3)
    assert (found.requests.items, found.requests.body_seconds) == (8, 2.0)
    assert found.allowed_hosts == ("x.test", "y.test") and found.fetching.ports == (80, 8080)
    assert found.fetching.enabled and found.models == {"base": "open-autoglm-base"}
    assert found.indexes == Path("/var/indexes")
    assert read_settings(Settings, environment={}) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "There is no setting prot .*the nearest is port"),
        ("[requests]\nitem = 1", r"requests\.item .*the nearest is requests\.items"),
        ("[request]\nitems = 1", "There is no setting request .*the nearest is requests"),
        ('port = "x"', "The setting port is 'x'"),
        ("port = 70000", "Port 70000 does not exist"),
        ("[requests]\nitems = 0", r"requests\.items is 0"),
        ("requests = 3", "The setting requests is 3"),
        ("port = ", "not TOML"),
        ("host = 1", "The setting host is 1"),
        ('[models]\n"../x" = "y"', "cannot be served as"),
        ("[limits]\nmax_pixels = 0", r"limits\.max_pixels"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said) as raised:
        read_settings(Settings, written(tmp_path, text), {})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AUTOGLM_SERVE_PROT", "1", "AUTOGLM_SERVE_PORT"),
        ("AUTOGLM_SERVE_REQUESTS__ITEM", "1", "AUTOGLM_SERVE_REQUESTS__ITEMS"),
        ("AUTOGLM_SERVE_PORT__X", "1", "There is no setting"),
        ("AUTOGLM_SERVE_PORT", "many", "The setting port is 'many'"),
        ("AUTOGLM_SERVE_FETCHING__PORTS", "[80", "fetching.ports"),
    ],
)
def test_a_mistake_in_the_environment_is_one_sentence(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        read_settings(Settings, None, {name: value})


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        read_settings(Settings, tmp_path / "none.toml", {})


@dataclass(frozen=True)
class Inner:
    """A table with a secret."""

    password: str = field(default="", repr=False)
    name: str = "x"


@dataclass(frozen=True)
class Outer:
    """Settings with a table."""

    inner: Inner = field(default_factory=Inner)


def test_a_secret_is_read_and_never_shown() -> None:
    found = read_settings(Outer, None, {"AUTOGLM_SERVE_INNER__PASSWORD": "hunter2"})
    assert found.inner.password == "hunter2"
    assert list(shown(found)) == ["inner.password = ********", 'inner.name = "x"']
    assert list(shown(Outer())) == ['inner.password = ""', 'inner.name = "x"']
    with pytest.raises(SettingError) as raised:
        read_settings(Outer, None, {}, {"inner.password": 12345})
    assert "12345" not in str(raised.value)


def test_serve_without_an_index_serves_a_model_and_shows_all_settings(tmp_path: Path) -> None:
    file = written(tmp_path, "port = 0\n[requests]\nitems = 5\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    options = [
        "--settings",
        str(file),
        "--model",
        f"shop={BASE}",
        "--indexes",
        str(tmp_path / "root"),
        "--cache",
        "off",
    ]
    command = [sys.executable, "-m", "open_autoglm", "serve", *options, "--verbose"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        address = re.search(r"http://\S+/", process.stdout.readline())[0]  # type: ignore[index, union-attr]
        try:
            assert [one["id"] for one in httpx.get(f"{address}v1/models", timeout=60).json()["data"]] == ["shop"]
            made = httpx.put(f"{address}v1/indexes/photos", timeout=60, json={"model": "shop"})
            assert made.status_code == 201 and (tmp_path / "root" / "default" / "photos.index").is_dir()
        finally:
            process.send_signal(signal.SIGINT)
        errors = process.stderr.read()  # type: ignore[union-attr]
    assert process.returncode == 0
    assert "requests.items = 5" in errors and f'models = {{"shop": "{BASE}"}}' in errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--settings", "none.toml"], "none.toml cannot be read"),
        (["--model", "x=none"], "none"),
        (["--model", BASE, "--model", BASE], "Two models"),
        (["none.index"], "none.index"),
        (["--port", "99999"], "65535"),
        (["--indexes", ""], "empty"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in mistake("serve", *options)
