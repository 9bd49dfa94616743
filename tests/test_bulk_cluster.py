"""Bulk embedding on a real Ray cluster and into a real S3 server, both of this machine."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from bulk_parts import paint_colours, rows
from cli_parts import mistake
from index_parts import ColourModel, environment, paint

from open_autoglm.errors import BundleError, IndexStoreError, SettingError
from open_autoglm.search import Index

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
pytest.importorskip("lance", reason="Lance is not installed: pip install -e '.[cluster]'")

from open_autoglm.search.bulk import OnRay, embed, fill  # noqa: E402

PICTURES = 24
EMBED = """
import sys, time
from index_parts import ColourModel
from open_autoglm.search.bulk import OnRay, embed
from test_bulk_cluster import Slow
embed(sys.argv[1], sys.argv[2], ColourModel(), part_size=3, executor=OnRay.connect(sys.argv[3], Slow, 2))
"""


class Slow(ColourModel):
    """Takes its time, so that a kill falls into the work."""

    def embed_prepared(self, pixels):  # type: ignore[no-untyped-def]
        time.sleep(0.2)
        return super().embed_prepared(pixels)


class DiesOnce(ColourModel):
    """The first of its kind is lost with its process, in the middle of a part."""

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self.mark = mark

    def embed_prepared(self, pixels):  # type: ignore[no-untyped-def]
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_prepared(pixels)


class Broken(ColourModel):
    """Gives vectors of another size than it says."""

    def embed_prepared(self, pixels):  # type: ignore[no-untyped-def]
        return super().embed_prepared(pixels)[:, :1]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """s3://pictures on a server of its own, that Lance finds by the environment."""
    pytest.importorskip("moto", reason="moto, the S3 server, is not installed: pip install -e '.[dev]'")
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    address = ""
    for line in server.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            address = found[0]
            break
    settings = {
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
    }
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            urllib.request.urlopen(urllib.request.Request(f"{address}/pictures", method="PUT")).close()
            yield "s3://pictures"
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """HOST:PORT of a Ray of two cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment()["PYTHONPATH"])  # workers load these parts, too
        context = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield context.address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    paint_colours(folder, PICTURES)
    (folder / "0007.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def wanted(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """The rows as this process makes them."""
    out = tmp_path_factory.mktemp("whole") / "whole.lance"
    embed(photos, out, ColourModel(), part_size=3)
    return rows(out)


def test_an_s3_address_holds_the_same_rows(bucket: str, photos: Path, wanted: list[object], tmp_path: Path) -> None:
    model, out = ColourModel(), f"{bucket}/photos.lance"
    embed(photos, out, model, part_size=3)
    assert rows(out) == wanted
    assert embed(photos, out, model, part_size=3).embedded == 0
    assert fill(tmp_path / "photos.index", out).added == PICTURES - 1
    with Index.open(f"lance://{out}", model) as found, Index.open(tmp_path / "photos.index", model) as own:
        assert [hit.path for hit in found.search("red", k=5)] == [hit.path for hit in own.search("red", k=5)]


def test_a_bucket_that_is_not_there_is_one_sentence(bucket: str, tmp_path: Path) -> None:
    photo = paint(tmp_path / "photos/red.png", "red")
    with pytest.raises(IndexStoreError, match=r"s3://nowhere/p.lance.*check the bucket"):
        embed(photo.parent, "s3://nowhere/p.lance", ColourModel())


def test_a_store_that_does_not_answer_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    photo = paint(tmp_path / "photos/red.png", "red")
    assert "check the bucket, AWS_ENDPOINT" in mistake("embed", photo.parent, "--out", "s3://pictures/p.lance")


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    photo = paint(tmp_path / "photos/red.png", "red")
    for address in (f"127.0.0.1:{closed_port()}", f"ray://127.0.0.1:{closed_port()}", "nonsense"):
        message = mistake("embed", photo.parent, "--out", tmp_path / "p.lance", "--cluster", address)
        assert f"no cluster at {address}" in message
    assert not (tmp_path / "p.lance").exists()


def test_workers_of_a_cluster_make_the_same_rows_in_a_bucket_and_one_of_them_is_lost(
    cluster: str, bucket: str, photos: Path, wanted: list[object], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    executor = OnRay.connect(cluster, partial(DiesOnce, tmp_path / "died"), 2)
    out = f"{bucket}/by-ray.lance"
    report = embed(photos, out, ColourModel(), part_size=3, executor=executor, progress=lambda *now: told.append(now))
    assert (report.pictures, report.embedded, len(report.skipped)) == (PICTURES - 1, PICTURES - 1, 1)
    assert told == [(done, PICTURES) for done in range(0, PICTURES + 1, 3)], "each part is stored when it is done"
    assert rows(out) == wanted
    assert (tmp_path / "died").exists()


def test_killed_with_its_cluster_at_work_and_resumed_the_rows_are_the_same(
    cluster: str, photos: Path, wanted: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "killed.lance"
    command = [sys.executable, "-c", EMBED, str(photos), str(out), cluster]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (out.exists() and rows_or_none(out)):
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it was still at work"
    stored = len(rows(out))
    assert 0 < stored < PICTURES and stored % 3 == 0
    report = embed(photos, out, ColourModel(), part_size=3)  # whoever goes on with it
    assert report.parts == (PICTURES - stored) // 3
    assert rows(out) == wanted


def test_what_a_worker_refuses_is_told_as_it_is(cluster: str, photos: Path, tmp_path: Path) -> None:
    executor = OnRay.connect(cluster, Broken, 1)
    with pytest.raises(BundleError, match="its bundle is damaged"):
        embed(photos, tmp_path / "p.lance", ColourModel(), part_size=3, executor=executor)
    with pytest.raises(SettingError, match=r"2 cores.*5 workers"):
        OnRay.connect(cluster, ColourModel, 5)


def rows_or_none(out: Path) -> list[object]:
    """The rows so far; none while the dataset is being made."""
    try:
        return list(rows(out))
    except IndexStoreError:
        return []


def closed_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
