"""Groups of pictures that are nearly the same: what falls together, what to keep, and what was looked at."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_parts import autoglm as run
from cli_parts import document, mistake
from index_parts import ColourModel, make, paint
from PIL import Image, ImageEnhance

from open_autoglm.errors import FilterError, SettingError
from open_autoglm.search import Index
from open_autoglm.search.duplicates import pairs
from open_autoglm.search.looks import coarse, fingerprints

SAMPLES = Path(__file__).parent.parent / "samples" / "grocery"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten photos of groceries; of two of them copies as people make them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    originals = sorted(SAMPLES.glob("*.jpg"))[:10]
    for original in originals:
        shutil.copy(original, folder)
    first, second = (Image.open(path) for path in originals[:2])
    first.resize((first.width // 3, first.height // 3)).save(folder / "small.jpg", quality=60)
    ImageEnhance.Brightness(first).enhance(1.15).save(folder / "bright.png")
    shutil.copy(originals[1], folder / "copy.jpg")
    width, height = second.size
    second.crop((width // 60, height // 60, width - width // 60, height)).save(folder / "cut.jpg", quality=90)
    return folder


def groups(index: Index, **given: float) -> set[tuple[str, frozenset[str]]]:
    """What is kept, and the others."""
    return {
        (group.keep.name, frozenset(twin.record.name for twin in group.others))
        for group in index.duplicates(**given).groups
    }


def test_copies_fall_together_and_the_largest_is_kept(tmp_path: Path, photos: Path) -> None:
    first, second = sorted(path.name for path in SAMPLES.glob("*.jpg"))[:2]
    index = make(tmp_path)
    index.add(photos)
    found = index.duplicates()
    # Of the same size in pixels, the one with more bytes is kept; of the very same file, the one that came first.
    assert groups(index) == {
        ("bright.png", frozenset({first, "small.jpg"})),
        (second, frozenset({"copy.jpg", "cut.jpg"})),
    }
    assert (found.compared, found.skipped) == (14, ())
    for group in found.groups:
        shown = [twin.likeness for twin in group.others]
        assert shown == sorted(shown, reverse=True)
        assert 0.95 <= min(shown) <= max(shown) <= 1
    assert groups(index, threshold=1.0) == {(second, frozenset({"copy.jpg"}))}


def test_a_group_never_reaches_further_than_the_picture_to_keep(tmp_path: Path) -> None:
    """A row of greys, each nearly the same as the next: the first and the last are not."""
    for number in range(12):
        level = 40 + number * 12
        Image.new("RGB", (64 - number, 64), (level, level, level)).save(tmp_path / f"{number:02}.png")
    index = make(tmp_path)
    index.add([tmp_path / f"{number:02}.png" for number in range(12)])
    found = index.duplicates()
    assert len(found.groups) > 1
    for group in found.groups:
        kept = int(group.keep.name[:2])
        assert all(abs(int(twin.record.name[:2]) - kept) <= 3 for twin in group.others)
    names = [one.name for group in found.groups for one in (group.keep, *(twin.record for twin in group.others))]
    assert len(names) == len(set(names))


def test_colours_and_flat_pictures_are_told_apart(tmp_path: Path) -> None:
    index = make(tmp_path)
    index.add([paint(tmp_path / f"{colour}.png", colour) for colour in ("red", "green", "blue", "white")])
    assert index.duplicates().groups == ()
    index.add(paint(tmp_path / "again.png", "red", size=(200, 100)))
    assert groups(index) == {("again.png", frozenset({"red.png"}))}


def test_a_file_is_read_once_and_again_when_it_has_changed(tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{colour}.png", colour) for colour in ("red", "green", "blue")]
    index = make(tmp_path)
    index.add(paths)
    seen: list[int] = []
    index.duplicates(progress=lambda now: seen.append(now.total))
    assert seen == [3, 3, 3]
    paths[0].unlink()
    assert (index.duplicates(progress=lambda now: seen.append(0)).compared, len(seen)) == (3, 3)
    paint(paths[1], "blue", size=(20, 20))
    index.add(paths[1:])
    assert groups(index) == {("blue.png", frozenset({"green.png"}))}


def test_what_cannot_be_seen_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{colour}.png", colour) for colour in ("red", "green", "blue", "white")]
    index = make(tmp_path)
    index.add(paths)
    paths[0].unlink()
    paint(paths[1], "red", size=(10, 10))
    found = index.duplicates()
    assert found.compared == 2
    reasons = {Path(one.path).name: one.reason for one in found.skipped}
    assert "cannot be read" in reasons["red.png"]
    assert "has changed since it was indexed" in reasons["green.png"]


def test_only_what_the_filter_keeps_is_compared_and_read(tmp_path: Path, photos: Path) -> None:
    index = make(tmp_path)
    index.add(photos)
    read: list[str] = []
    found = index.duplicates(where="name in ('small.jpg', 'bright.png')", progress=lambda now: read.append(now.path))
    assert (len(found.groups), found.compared, len(read)) == (1, 2, 2)
    with pytest.raises(FilterError, match="nonsense"):
        index.duplicates(where="nonsense = 1")


@pytest.mark.parametrize("threshold", [0.5, 1.1, -1, float("nan"), "0.9", True, None])
def test_a_threshold_out_of_range_is_refused(tmp_path: Path, threshold: object) -> None:
    with make(tmp_path) as index, pytest.raises(SettingError, match="threshold"):
        index.duplicates(threshold)  # type: ignore[arg-type]


def test_an_empty_index_and_a_single_picture_have_no_duplicates(tmp_path: Path) -> None:
    index = make(tmp_path)
    assert index.duplicates().compared == 0
    index.add(paint(tmp_path / "red.png", "red"))
    assert (index.duplicates().groups, index.duplicates().compared) == ((), 1)


def test_by_blocks_all_pairs_are_found_that_comparing_each_with_each_finds() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (400, 16, 16, 3))
    # Soft pictures, as pictures are: otherwise the coarse comparison would tell them apart by itself.
    base = np.repeat(np.repeat(base[:, ::4, ::4], 4, axis=1), 4, axis=2)
    noisy = np.clip(base[rng.integers(0, 400, 2600)] + rng.normal(0, 12, (2600, 16, 16, 3)), 0, 255)
    dots = np.concatenate([base, noisy]).astype(np.uint8).reshape(-1, 768)
    prints = fingerprints(dots)
    squares = (prints**2).sum(axis=1)
    for threshold in (0.9, 0.97):
        apart = squares[:, None] + squares[None] - 2 * prints @ prints.T
        wanted = {(int(a), int(b)) for a, b in np.argwhere(apart <= 2 * (1 - threshold) - 1e-4) if a < b}
        allowed = {(int(a), int(b)) for a, b in np.argwhere(apart <= 2 * (1 - threshold) + 1e-3) if a < b}
        found = list(pairs(dots, threshold))
        assert len(wanted) > 1000
        assert len(found) == len(set(found))
        assert wanted <= set(found) <= allowed


def test_coarse_distances_are_never_larger() -> None:
    prints = fingerprints(np.random.default_rng(1).integers(0, 256, (50, 16, 16, 3)).astype(np.uint8))
    fine, small = ((one[:, None] - one[None]) for one in (prints, coarse(prints)))
    assert (np.linalg.norm(small, axis=2) <= np.linalg.norm(fine, axis=2) + 1e-5).all()


def test_the_command_shows_what_to_keep(tmp_path: Path, photos: Path) -> None:
    index = tmp_path / "colours.index"
    with Index.create(index, ColourModel()) as made:
        made.add(photos)
    shown = run("index", "duplicates", index)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.count("keep") == 2 + 1  # the two, and "beside those to keep"
    assert "2 groups among 14 pictures: 4 pictures of " in shown.stdout
    found = document("index", "duplicates", index, "--where", "name in ('small.jpg', 'bright.png')")
    (group,) = found["groups"]
    assert (group["keep"]["name"], group["others"][0]["record"]["name"]) == ("bright.png", "small.jpg")
    assert "No two of 0 pictures" in run("index", "duplicates", index, "--where", "width = 1").stdout
    assert "threshold is 2.0" in mistake("index", "duplicates", index, "--threshold", 2)
    assert "no index" in mistake("index", "duplicates", tmp_path / "none")
    assert run("index", "duplicates").exit_code == 2


def test_a_folder_of_that_name_can_still_be_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(tmp_path / "duplicates/a.png")
    monkeypatch.chdir(tmp_path)
    assert document("index", "./duplicates", "--to", "x.index")["added"] == 1


def test_encoded_twins_of_odd_shapes(tmp_path: Path) -> None:
    """A line of pixels and a tall one are pictures too."""
    for number, size in enumerate(((1, 1), (300, 1), (1, 300), (5000, 20))):
        file = io.BytesIO()
        Image.new("RGB", size, (number * 60, 0, 0)).save(file, "PNG")
        (tmp_path / f"{number}.png").write_bytes(file.getvalue())
    index = make(tmp_path)
    index.add([tmp_path / f"{number}.png" for number in range(4)])
    assert index.duplicates().compared == 4
