"""The sample pictures are all there, all readable, small enough to ship, and say where they come from."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from open_autoglm.runtime.images import decode
from scripts.make_samples import LONGEST, make

SAMPLES = Path(__file__).parent.parent / "samples"
with (SAMPLES / "samples.csv").open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))


def test_the_table_lists_exactly_the_pictures() -> None:
    there = {path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.jpg")}
    assert len(ROWS) >= 120
    assert there == {row["path"] for row in ROWS}
    assert all(row["label"] and row["source"] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["path"])
def test_every_picture_decodes_and_carries_no_metadata(row: dict[str, str]) -> None:
    height, width, _ = decode(SAMPLES / row["path"]).shape
    assert 100 <= max(height, width) <= LONGEST
    with Image.open(SAMPLES / row["path"]) as image:
        assert not image.getexif() and "icc_profile" not in image.info and "comment" not in image.info


def test_the_folder_stays_under_8_megabytes_and_names_its_licences() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 8_000_000
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert "Copyright (c) 2018 Marcus Klasson" in text
    assert "CC0 1.0" in text


def test_the_pictures_can_be_made_again_from_their_table(tmp_path: Path) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (1000, 500), (0, 0, 255)).save(encoded, "PNG")
    rows = {"path": ["train/a.jpg"], "image": [encoded.getvalue()]}
    for name in ("grocery/train", "clothing/dev"):
        target = tmp_path / "data" / f"{name}.parquet"
        target.parent.mkdir(parents=True)
        pq.write_table(pa.table(rows), target)
    (tmp_path / "samples").mkdir()
    table = "path,label,source\na/b.jpg,blue,grocery:train/a.jpg\nc/d.jpg,blue,clothing:dev/0\n"
    (tmp_path / "samples" / "samples.csv").write_text(table)
    assert make(tmp_path / "data", tmp_path / "samples") == 2
    for made in ("a/b.jpg", "c/d.jpg"):
        assert decode(tmp_path / "samples" / made).shape == (LONGEST // 2, LONGEST, 3)
