"""API keys: made, listed, revoked, recognised, and what a damaged file of them comes to."""

from __future__ import annotations

import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cli_parts import autoglm, document, mistake

from open_autoglm.errors import SettingError
from open_autoglm.serving.access import AccessSettings, Caller
from open_autoglm.serving.access.keys import KeyFile, new_key, read_keys, revoke_key


def changed(path: Path) -> None:
    """Makes sure that the file looks changed, and that it is looked at."""
    later = time.time_ns() + 10**9
    os.utime(path, ns=(later, later))
    time.sleep(0.55)


def test_a_key_is_printed_once_and_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    made = autoglm("key", "new", "--name", "ci", "--tenant", "shop", "--scopes", "search, embed", "--file", file)
    assert made.exit_code == 0, made.stderr
    (secret,) = made.stdout.split()
    assert secret.startswith("autoglm_") and secret not in file.read_text() and "stored nowhere" in made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KeyFile(file).recognise(secret, time.time()) == Caller("shop", "ci", frozenset({"search", "embed"}))


def test_keys_are_listed_and_revoked_by_name_or_id(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    secrets = [document("key", "new", "--name", name, "--tenant", "shop", "--file", file)["key"] for name in "abc"]
    listed = document("key", "list", "--file", file)
    assert [key["name"] for key in listed] == ["a", "b", "c"] and "sha256" not in listed[0]
    assert autoglm("key", "revoke", "a", "--file", file).exit_code == 0
    assert autoglm("key", "revoke", listed[1]["id"], "--file", file).exit_code == 0
    known = KeyFile(file)
    found = [known.recognise(secret, time.time()) for secret in secrets]
    assert [isinstance(one, Caller) for one in found] == [False, False, True]
    assert "revoked" in str(found[0])


def test_what_a_key_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    given = ("--file", file, "--tenant", "shop")
    assert autoglm("key", "new", "--name", "ci", *given).exit_code == 0
    assert "revoke it first" in mistake("key", "new", "--name", "ci", *given)
    assert "cannot be called" in mistake("key", "new", "--name", "c\ni", *given)
    assert "A tenant cannot be called" in mistake("key", "new", "--name", "x", "--tenant", "../x", "--file", file)
    assert "A scope cannot be called" in mistake("key", "new", "--name", "x", "--scopes", 'a"b', *given)
    assert "0 scopes" in mistake("key", "new", "--name", "x", "--scopes", ",", *given)
    assert "days above 0" in mistake("key", "new", "--name", "x", "--days", "0", *given)
    assert "has no key called y" in mistake("key", "revoke", "y", "--file", file)
    assert "cannot be read" in mistake("key", "list", "--file", tmp_path / "none.jsonl")
    assert len(read_keys(file)) == 1


def test_a_key_ends_when_it_was_to_end(tmp_path: Path) -> None:
    now = time.time()
    _, secret = new_key(tmp_path / "keys.jsonl", "visitor", "shop", ["search"], expires=now + 60)
    known = KeyFile(tmp_path / "keys.jsonl")
    assert isinstance(known.recognise(secret, now + 59), Caller)
    assert "expired" in str(known.recognise(secret, now + 60))


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    _, first = new_key(file, "first", "shop", ["search"])
    known = KeyFile(file)
    _, second = new_key(file, "second", "shop", ["search"])
    revoke_key(file, "first")
    changed(file)
    assert isinstance(known.recognise(first, 0), str)
    assert isinstance(known.recognise(second, 0), Caller)


def test_a_damaged_line_lets_nobody_in_and_keeps_nobody_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys.jsonl"
    _, first = new_key(file, "first", "shop", ["search"])
    _, second = new_key(file, "second", "shop", ["search"])
    known = KeyFile(file)
    file.write_text(file.read_text().replace('"first"', '"first').replace("}\n{", "}\n\n{"))
    changed(file)
    assert isinstance(known.recognise(first, 0), str)
    assert isinstance(known.recognise(second, 0), Caller)
    assert "Line 1" in caplog.text
    file.unlink()
    time.sleep(0.55)
    assert isinstance(known.recognise(second, 0), str)


def test_a_damaged_line_keeps_no_key_from_being_revoked(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    new_key(file, "ci", "shop", ["search"])
    with file.open("a") as lines:
        lines.write("damaged {\n")
    listed = autoglm("key", "list", "--file", file)
    assert listed.exit_code == 0 and " ci " in listed.stdout and "Line 2" in listed.stderr
    assert autoglm("key", "revoke", "ci", "--file", file).exit_code == 0
    assert file.read_text() == "damaged {\n"


def test_a_scope_that_was_mistyped_is_told(tmp_path: Path) -> None:
    made = autoglm("key", "new", "--name", "ci", "--scopes", "serach,embed", "--file", tmp_path / "keys.jsonl")
    assert made.exit_code == 0 and "no scope 'serach'" in made.stderr and "embed" not in made.stderr


LINE = {"id": "0" * 12, "name": "a", "tenant": "shop", "scopes": ["search"], "sha256": "0" * 64, "expires": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": "*"},
        {"scopes": []},
        {"scopes": [7]},
        {"sha256": ""},
        {"sha256": "0" * 63},
        {"expires": "never"},
        {"expires": True},
        {"expires": float("nan")},
        {"expires": 1e300},
        {"tenant": None},
        {"tenant": "a/b"},
        {"name": ""},
        {"id": "x"},
        {"admin": True},
    ],
)
def test_a_wrong_line_is_told_when_the_server_starts(tmp_path: Path, wrong: dict[str, object]) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text(f"{json.dumps(LINE)}\n")
    KeyFile(file)
    file.write_text(f"\n{json.dumps(LINE | wrong)}\n")
    with pytest.raises(SettingError, match="Line 2"):
        KeyFile(file)


@pytest.mark.parametrize("text", ["[]", "7", '"x"', "{", "null", "[" * 100_000, "\udcff"])
def test_a_file_of_something_else(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingError):
        KeyFile(file)


def test_keys_made_at_once_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: new_key(file, f"k{number}", "shop", ["search"])[1], range(24)))
    known = KeyFile(file)
    assert len(set(made)) == 24 and all(isinstance(known.recognise(one, 0), Caller) for one in made)
    assert [path.name for path in tmp_path.iterdir()] == ["keys.jsonl"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "a:b", "-a", "a.", ".a", "a\n", "a\0", "ä", "x" * 65]
)
def test_names_that_no_tenant_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match="A tenant cannot be called"):
        new_key(tmp_path / "keys.jsonl", "ci", name, ["search"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"off": True, "keys": Path("k")}, "contradicts"),
        ({"issuer": "x"}, "need access.jwks"),
        ({"jwks": "https://login.example/jwks"}, "access.issuer and access.audience"),
        ({"jwks": "http://login.example/jwks", "issuer": "x", "audience": ("a",)}, "must begin with https://"),
        ({"jwks": "https://u:p@login.example/", "issuer": "x", "audience": ("a",)}, "password"),
        ({"jwks": "ftp://login.example/", "issuer": "x", "audience": ("a",)}, "https://HOST or a file"),
        ({"jwks": "a.json", "issuer": "x", "audience": ("a",), "algorithms": ("HS256",)}, "HS256"),
        ({"jwks": "a.json", "issuer": "x", "audience": ("a",), "algorithms": ("none",)}, "none"),
        ({"jwks": "a.json", "issuer": "x", "audience": ("a",), "algorithms": ()}, "not be empty"),
        ({"policy": Path("a.rego"), "opa": "http://localhost:8181"}, "two ways"),
        ({"opa": "http://opa.example:8181"}, "must begin with https://"),
        ({"opa": "http://["}, "access.opa is"),
        ({"leeway": -1.0}, "leeway"),
        ({"leeway": 1e9}, "leeway"),
        ({"jwks_cooldown": 0.0}, "jwks_cooldown"),
        ({"decision_seconds": 3600.0}, "decision_seconds"),
        ({"quotas": {"../x": None}}, "A tenant cannot"),
        ({"quota_store": "memcached://x"}, "Redis"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError, match=says.replace(".", r"\.")):
        AccessSettings(**given)  # type: ignore[arg-type]
