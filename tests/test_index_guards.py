"""What an index is guarded against: lost drives and models, foreign folders, files of other kinds, wrong arguments."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from index_parts import COLOURS, ColourModel, everything, make, names, paint
from PIL import Image

from open_autoglm.bundle import shipped_folder
from open_autoglm.errors import BundleError, IndexStoreError, OpenAutoGLMError, SettingError
from open_autoglm.runtime.model import load
from open_autoglm.search import Index, schema


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two pictures."""
    for colour in ("red", "green"):
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    return tmp_path / "photos"


def test_an_emptied_folder_keeps_its_pictures_until_told_otherwise(tmp_path: Path, photos: Path) -> None:
    index = make(tmp_path)
    index.add(photos)
    paint(tmp_path / "other/blue.png", "blue")
    for path in photos.iterdir():
        path.rename(tmp_path / path.name)
    for source in (photos, [tmp_path / "other", photos]):
        with pytest.raises(SettingError, match=r"photos has no pictures any more.*nothing was changed.*prune"):
            index.add(source)
    assert everything(index) == ["green.png", "red.png"]
    assert index.add(photos, prune=True).removed == 2
    assert index.add(photos).removed == 0


def test_a_drive_below_an_indexed_folder_is_missed_too(tmp_path: Path, photos: Path) -> None:
    paint(photos / "drive/blue.png", "blue")
    index = make(tmp_path)
    index.add(photos / "drive")
    index.add(photos)
    (photos / "drive/blue.png").unlink()
    with pytest.raises(SettingError, match="drive has no pictures any more"):
        index.add(photos)
    assert index.add(photos, prune=True).removed == 1


def test_who_loses_the_race_to_make_an_index_opens_it(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder = schema.tempfile.mkdtemp

    def meanwhile(**given: Any) -> str:
        monkeypatch.undo()
        with make(tmp_path) as winner:
            winner.add(photos)
        return make_folder(**given)

    monkeypatch.setattr(schema.tempfile, "mkdtemp", meanwhile)
    with make(tmp_path) as loser:
        assert everything(loser) == ["green.png", "red.png"]
    with Index.create(tmp_path / "colours.index", ColourModel(), exist_ok=True) as later:
        assert len(later) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["colours.index", "photos"]


def test_a_folder_with_a_shipped_name_does_not_stand_in_for_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(shipped_folder() / "open-autoglm-base")
    copy = tmp_path / "elsewhere"
    shutil.copytree(model.bundle.path, copy)
    model.bundle = SimpleNamespace(path=copy)  # type: ignore[assignment]
    Index.create(tmp_path / "shipped.index", model).close()
    shutil.rmtree(copy)
    (tmp_path / "open-autoglm-base").mkdir()
    (tmp_path / "colours").mkdir()
    monkeypatch.chdir(tmp_path)
    with Index.open(tmp_path / "shipped.index") as index:
        assert index.model.bundle.path == shipped_folder().absolute() / "open-autoglm-base"
    stranger = ColourModel()
    stranger.bundle = SimpleNamespace(path=tmp_path / "gone")
    with make(tmp_path, stranger):
        pass
    with Index.open(tmp_path / "colours.index") as index, pytest.raises(BundleError, match="gone") as refused:
        index.search("red")
    assert str(tmp_path / "gone") in str(refused.value)


def test_a_moved_model_is_asked_for_and_remembered(tmp_path: Path, photos: Path) -> None:
    make(tmp_path).close()
    with (
        Index.open(tmp_path / "colours.index") as index,
        pytest.raises(BundleError, match=r"--model.*Index\.open\(path, model\)"),
    ):
        index.add(photos)
    moved = ColourModel()
    moved.bundle = SimpleNamespace(path=tmp_path / "moved")
    with Index.open(tmp_path / "colours.index", moved) as index:
        index.add(photos)
    with Index.open(tmp_path / "colours.index") as index, pytest.raises(BundleError, match="moved"):
        index.search("red")


def test_a_folder_with_other_files_is_no_place_for_an_index(photos: Path) -> None:
    with pytest.raises(IndexStoreError, match="holds other files: choose another directory"):
        Index.open(photos)
    with pytest.raises(IndexStoreError, match="holds other files: choose another directory"):
        Index.create(photos, ColourModel())
    assert len(list(photos.iterdir())) == 2


def test_empty_paths_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    index = make(tmp_path)
    for work in (
        lambda: index.add(""),
        lambda: index.add([""]),
        lambda: Index.open(""),
        lambda: Index.create("", ColourModel()),
    ):
        with pytest.raises(SettingError, match="path is empty"):
            work()


def test_wrong_arguments_are_refused_in_a_sentence(tmp_path: Path, photos: Path) -> None:
    index = make(tmp_path)
    index.add(photos)
    wrong: list[Any] = [
        lambda given: Index.create(tmp_path / "new.index", given),
        lambda given: Index.open(tmp_path / "colours.index", given),
        lambda given: index.search("red", k=given),
        lambda given: index.search(like=given),
        lambda given: index.get(given),
        lambda given: index.delete(given),
        lambda given: index.delete([1, given]),
    ]
    for call in wrong:
        for given in ("3", 2.5, True):
            with pytest.raises(SettingError):
                call(given)
    for source in (None, 5, b"photos"):
        with pytest.raises(SettingError, match="list of paths"):
            index.add(source)  # type: ignore[arg-type]
    for metadata in ([], "x", {"red.png": 3}):
        with pytest.raises(SettingError):
            index.add(photos, metadata)  # type: ignore[arg-type]
    assert len(index) == 2


def test_ids_of_numpy_and_far_too_large_ones_work(tmp_path: Path, photos: Path) -> None:
    index = make(tmp_path)
    index.add(photos)
    assert names(index.search(like=np.int64(1), k=np.int64(1)))  # type: ignore[arg-type]
    assert index.delete([10**30, -(10**30)]) == 0
    with pytest.raises(OpenAutoGLMError, match="no picture"):
        index.get(10**30)
    assert index.delete(np.int64(1)) == 1  # type: ignore[arg-type]
    assert index.delete(np.array([1, 2])) == 1
    assert index.delete(np.array([], int)) == 0


def test_vectors_of_another_shape_or_no_numbers_are_not_stored(tmp_path: Path, photos: Path) -> None:
    for vectors in (np.ones((2, 1, 32)), np.ones((2, 3, 31)), np.full((2, 3, 32), np.nan)):
        model = ColourModel()
        model.embed_prepared = lambda pixels, vectors=vectors: vectors  # type: ignore[method-assign, misc]
        with make(tmp_path / str(vectors.shape) / str(vectors[0, 0, 0]), model) as index:
            with pytest.raises(BundleError, match="vectors of the shape"):
                index.add(photos)
            assert len(index) == 0
            model.embed_texts = lambda texts: np.ones((1, 7), np.float32)  # type: ignore[method-assign]
            with pytest.raises(BundleError, match="shape"):
                index.search("red", cut=False)


def test_pictures_that_cannot_be_read_are_reported_by_their_format(tmp_path: Path, photos: Path) -> None:
    for name in ("a.heic", "b.AVIF", "c.svg", "notes.txt", ".hidden.heic"):
        (photos / name).write_bytes(b"of another kind")
    for name in ("d.jfif", "e.JPE"):
        Image.new("RGB", (20, 20), COLOURS["blue"]).save(photos / name, "JPEG")
    result = make(tmp_path).add(photos)
    assert [Path(item.path).name for item in result.skipped] == ["a.heic", "b.AVIF", "c.svg"]
    assert result.skipped[0].reason == "Pictures in the format HEIC cannot be read: convert it to JPEG."
    assert result.added == 4


def test_the_date_is_when_the_picture_was_taken(tmp_path: Path) -> None:
    index = make(tmp_path)
    exif = Image.Exif()
    dates = {"taken.jpg": "2019:05:04 03:02:01", "damaged.jpg": "0000:00:00 00:00:00"}
    for name, date in dates.items():
        exif.get_ifd(0x8769)[0x9003] = date
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), COLOURS["blue"]).save(tmp_path / "photos" / name, exif=exif)
        os.utime(tmp_path / "photos" / name, (1_000_000_000, 1_000_000_000))
    index.add(tmp_path / "photos")
    os.utime(tmp_path / "photos/taken.jpg", (1_100_000_000, 1_100_000_000))
    shutil.copy(tmp_path / "photos/taken.jpg", tmp_path / "photos/copy.jpg")
    index.add(tmp_path / "photos")
    found = {index.get(id).name: index.get(id).date for id in (1, 2, 3)}
    assert found == {
        "taken.jpg": "2019-05-04T03:02:01",
        "copy.jpg": "2019-05-04T03:02:01",
        "damaged.jpg": "2001-09-09T01:46:40Z",
    }
    assert len(index.search("blue", where="date like '2019-05%'")) == 2
