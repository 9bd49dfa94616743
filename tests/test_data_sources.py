"""Training data from every kind of source, with captions, classes, templates and second tables."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_parts import draw_folder, drawn, encoded, write_csv

from open_autoglm.data import SOURCES, DataSettings, Join, Records, Span, open_source, source_of
from open_autoglm.data.pictures import Spool
from open_autoglm.errors import DataError, SettingError
from open_autoglm.runtime.images import ImageLimits, decode

ROOT = Path(__file__).parent.parent
CAPTIONS = ["a red square", "two blue dots", "nothing but green"]


def captions(records: Records) -> list[tuple[str, ...]]:
    return [record.captions for record in records]


def pixels(records: Records, index: int) -> bytes:
    return decode(source_of(records[index].picture, ImageLimits())).tobytes()


def csv_data(folder: Path) -> str:
    names = draw_folder(folder, 3)
    return write_csv(folder / "train.csv", [("file_name", "caption"), *zip(names, CAPTIONS, strict=True)])


def jsonl_data(folder: Path) -> str:
    rows = [{"image": name, "text": text} for name, text in zip(draw_folder(folder, 3), CAPTIONS, strict=True)]
    (folder / "train.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    return str(folder / "train.jsonl")


def parquet_bytes(folder: Path) -> str:
    table = {"image": [encoded(drawn(number)) for number in range(3)], "title": CAPTIONS, "price": [1, 2, 3]}
    pq.write_table(pa.table(table), folder / "train.parquet")
    return str(folder / "train.parquet")


def parquet_paths(folder: Path) -> str:
    pq.write_table(pa.table({"path": draw_folder(folder, 3), "description": CAPTIONS}), folder / "train.parquet")
    return str(folder)


def folder_data(folder: Path) -> str:
    for name, text in zip(draw_folder(folder, 3), CAPTIONS, strict=True):
        (folder / name).with_suffix(".txt").write_text(text + "\n")
    return str(folder)


def metadata_folder(folder: Path) -> str:
    names = draw_folder(folder, 3)
    write_csv(folder / "metadata.csv", [("file_name", "text"), *zip(names, CAPTIONS, strict=True)])
    return str(folder)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def shards(folder: Path, ending: str = ".tar", mode: str = "w") -> str:
    for number, caption in enumerate(CAPTIONS):
        with tarfile.open(folder / f"train-{number:03}{ending}", mode) as archive:
            add(archive, f"{number}.png", encoded(drawn(number)))
            add(archive, f"{number}.txt", caption.encode())
            add(archive, f"{number}.json", json.dumps({"licence": "none"}).encode())
            add(archive, f"{number}.pyd", pickle.dumps(print))
    return str(folder / f"train-{{000..002}}{ending}")


def packed_shards(folder: Path) -> str:
    return shards(folder, ".tar.gz", "w:gz")


def hugging_face(folder: Path) -> str:
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    rows = {"image": [drawn(number) for number in range(3)], "caption": CAPTIONS}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder / "saved")
    return str(folder / "saved")


@pytest.mark.parametrize(
    "write",
    [
        csv_data,
        jsonl_data,
        parquet_bytes,
        parquet_paths,
        folder_data,
        metadata_folder,
        shards,
        packed_shards,
        hugging_face,
    ],
)
def test_every_source_gives_the_same_pictures_and_captions(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    records = open_source(DataSettings(write(tmp_path)))
    assert captions(records) == [(caption,) for caption in CAPTIONS]
    assert [pixels(records, index) for index in range(3)] == [decode(drawn(index)).tobytes() for index in range(3)]
    assert len(set(records.labels.tolist())) == 3
    assert not records.problems
    again = pickle.loads(pickle.dumps(records))  # as a worker process is given it
    assert again.fingerprint == records.fingerprint
    assert pixels(again, 2) == pixels(records, 2)


def test_a_subfolder_a_class_becomes_captions_and_labels(tmp_path: Path) -> None:
    for number, name in enumerate(["golden_apple", "T-shirt", "golden_apple"]):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{number}.png").write_bytes(encoded(drawn(number)))
    records = open_source(DataSettings(str(tmp_path)))
    assert records.classes == ("T-shirt", "golden_apple")
    assert captions(records) == [("a photo of a T-shirt",), *[("a photo of a golden apple",)] * 2]
    assert records.labels.tolist() == records.class_ids.tolist() == [0, 1, 1]
    assert records.class_captions() == (("a photo of a T-shirt",), ("a photo of a golden apple",))


def test_several_captions_come_from_lists_columns_lines_and_repeated_rows(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 3)
    both = [("one", "two")] * 3
    listed = write_csv(tmp_path / "lists.csv", [("image", "captions"), *((name, '["one", "two"]') for name in names)])
    assert captions(open_source(DataSettings(listed))) == both
    columns = [("image", "caption_0", "caption_1"), *((name, "one", "two") for name in names)]
    assert captions(open_source(DataSettings(write_csv(tmp_path / "columns.csv", columns)))) == both
    rows = [("image", "caption"), *((name, text) for text in ("one", "two", "one") for name in names)]
    repeated = open_source(DataSettings(write_csv(tmp_path / "rows.csv", rows)))
    assert captions(repeated) == both
    assert repeated.rows == 9
    for name in names:
        (tmp_path / name).with_suffix(".txt").write_text("one\n\n two \n")
    assert captions(open_source(DataSettings(str(tmp_path / "pictures")))) == both


def test_a_second_table_names_the_classes_and_templates_use_its_columns(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 3)
    table = write_csv(tmp_path / "train.csv", [("path", "fine_id"), *zip(names, [7, 8, 7], strict=True)])
    write_csv(
        tmp_path / "classes.csv", [("fine_id", "fine", "coarse"), (7, "Royal-Gala", "Apple"), (8, "Leek", "Leek")]
    )
    settings = DataSettings(
        table, join=Join(str(tmp_path / "classes.csv"), "fine_id"), label="fine", templates=["{fine}, {coarse}", "a {}"]
    )
    records = open_source(settings)
    assert captions(records)[0] == ("Royal Gala, Apple", "a Royal Gala")
    assert records.classes == ("Leek", "Royal-Gala")
    assert records[0].metadata["coarse"] == "Apple"
    write_csv(tmp_path / "classes.csv", [("fine_id", "fine", "coarse"), (7, "Royal-Gala", "Apple")])
    with pytest.raises(DataError, match=r"line 3: no row of classes.csv has fine_id '8'"):
        open_source(settings)


def test_a_list_of_classes_gives_numbers_their_names(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 2)
    table = write_csv(tmp_path / "train.csv", [("image", "label"), (names[0], 1), (names[1], 0)])
    (tmp_path / "classes.txt").write_text("cat\nfire engine\n")
    records = open_source(DataSettings(table, classes=str(tmp_path / "classes.txt")))
    assert captions(records) == [("a photo of a fire engine",), ("a photo of a cat",)]
    assert records.classes == ("cat", "fire engine")
    assert records.labels.tolist() == [1, 0]


def test_hugging_face_classes_have_names_and_splits_are_chosen(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [drawn(0), drawn(1)], "label": [1, 0]}
    data = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "saved")
    records = open_source(DataSettings(str(tmp_path / "saved"), split="train"))
    assert captions(records) == [("a photo of a dog",), ("a photo of a cat",)]
    with pytest.raises(DataError, match=r"has the splits train, test: set split to one of them"):
        open_source(DataSettings(str(tmp_path / "saved")))


def test_columns_can_be_named_and_a_missing_one_is_said(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 2)
    rows = [("wo", "was", "caption"), (names[0], "eins", "x"), (names[1], "zwei", "y")]
    table = write_csv(tmp_path / "train.csv", rows)
    records = open_source(DataSettings(table, picture="wo", captions=("was",)))
    assert captions(records) == [("eins",), ("zwei",)]
    with pytest.raises(DataError, match="no column 'wer'; its columns are wo, was, caption"):
        open_source(DataSettings(table, picture="wer"))
    with pytest.raises(DataError, match="No column of wo, was, caption looks like the picture: set picture"):
        open_source(DataSettings(table))


def test_semicolons_tabs_a_byte_order_mark_and_quoted_line_breaks_are_read(tmp_path: Path) -> None:
    name = draw_folder(tmp_path, 1)[0]
    for ending, separator in ((".csv", ";"), (".tsv", "\t"), (".csv", "|")):
        table = tmp_path / f"table{ending}"
        table.write_text(
            f'\ufeffimage{separator} caption\n{name}{separator}"a line,\nand ""more"""\n', encoding="utf-8"
        )
        assert captions(open_source(DataSettings(str(table)))) == [('a line, and "more"',)]


def test_pictures_in_shards_stay_there_and_pickles_are_not_opened(tmp_path: Path) -> None:
    records = open_source(DataSettings(shards(tmp_path)))
    assert all(isinstance(record.picture, Span) for record in records)
    assert all("pyd" not in record.metadata for record in records)
    assert records[0].metadata["licence"] == "none"


def test_pictures_beyond_the_memory_limit_go_to_a_file_that_goes_with_them() -> None:
    spool = Spool(limit=10)
    kept = [spool.keep(data, data.decode()) for data in (b"12345678", b"abcdef", b"AB")]
    assert kept[0] == b"12345678"
    assert isinstance(kept[1], Span)
    file = Path(kept[1].path)
    assert source_of(kept[1], ImageLimits()) == b"abcdef"
    assert kept[2] == b"AB"
    assert [spool.keep(bytes(bytearray(one)), one.decode()) is kept[0] for one in (b"12345678", b"AB")] == [True, False]
    assert spool.keep(b"abcdef", "abcdef") is kept[1]
    copy = pickle.loads(pickle.dumps(spool))
    del copy
    assert file.exists()
    del spool
    assert not file.exists()


def test_what_matches_is_known_by_class_caption_or_picture(tmp_path: Path) -> None:
    draw_folder(tmp_path, 4)
    (tmp_path / "pictures" / "copy.png").write_bytes((tmp_path / "pictures" / "0.png").read_bytes())
    rows = [("image", "caption", "label"), ("0", "a dog", "x"), ("1", "A dog.", "y"), ("2", "a cat", "x")]
    rows += [("3", "a tree", "z"), ("copy", "my pet", "x")]
    table = write_csv(tmp_path / "t.csv", [rows[0], *((f"pictures/{one}.png", text, c) for one, text, c in rows[1:])])
    assert len(open_source(DataSettings(table))) == 4  # the copy is the first picture with another caption
    by = {
        how: open_source(DataSettings(table, positives=how)).labels.tolist() for how in ("class", "caption", "picture")
    }
    assert by == {"class": [0, 1, 0, 2], "caption": [0, 0, 1, 2], "picture": [0, 1, 2, 3]}
    assert open_source(DataSettings(table)).labels.tolist() == by["caption"]


def test_the_fingerprint_follows_what_was_read(tmp_path: Path) -> None:
    table = csv_data(tmp_path)
    first = open_source(DataSettings(table))
    assert open_source(DataSettings(table, check="header")).fingerprint == first.fingerprint
    assert first.fingerprint in first.summary()
    assert "3 pictures, 3 captions" in first.summary()
    Path(table).write_text(Path(table).read_text().replace("dots", "lines"))
    assert open_source(DataSettings(table)).fingerprint != first.fingerprint
    assert first.select([0, 1]).fingerprint != first.fingerprint


def test_the_samples_are_a_source_as_they_lie() -> None:
    records = open_source(DataSettings(str(ROOT / "samples" / "samples.csv"), check="header"))
    assert len(records) >= 120
    assert not records.problems


def test_grocery_photos_take_their_names_from_the_second_table() -> None:
    folder = ROOT.parent / "shared" / "data" / "grocery"
    if not folder.is_dir():
        print("skipped: ../shared/data/grocery is not here")
        return
    settings = DataSettings(
        str(folder / "val.parquet"),
        join=Join(str(folder / "classes.parquet"), "fine_id"),
        label="fine",
        captions=("description",),
        templates=("{fine}, {coarse}",),
        check="header",
    )
    records = open_source(settings)
    assert len(records) == 296
    assert "Golden Delicious, Apple" in records[0].captions
    assert len(set(records.labels.tolist())) == len({record.label for record in records})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": ""}, "path is empty"),
        ({"path": "a.csv", "captions": "text"}, r"give a list, \[text\]"),
        ({"path": "a.csv", "templates": ("a photo",)}, "needs {} for the class"),
        ({"path": "a.csv", "templates": ("{a.__class__}",)}, "needs {} for the class"),
        ({"path": "a.csv", "templates": ("a {}, a {}",)}, "for the class, once"),
        ({"path": "a.csv", "templates": ("a {0}",)}, "needs {} for the class"),
        ({"path": "a.csv", "templates": ("{",)}, "cannot be read"),
        ({"path": "a.csv", "max_bad_share": 2}, "share from 0 to 1"),
        ({"path": "a.csv", "check": "twice"}, "one of decode, header, none"),
        ({"path": "a.csv", "group_pattern": "("}, "no regular expression"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        DataSettings(**settings)  # type: ignore[arg-type]


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=", ".join(SOURCES)):
        open_source(DataSettings(str(tmp_path), source="excel"))
