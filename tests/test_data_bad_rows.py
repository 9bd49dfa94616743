"""Training data that cannot be used: named with its row and reason, skipped, and too much of it stops loading."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_parts import draw_folder, drawn, encoded, write_csv
from test_data_sources import add

from open_autoglm.data import DataSettings, Records, open_source
from open_autoglm.errors import DataError
from open_autoglm.runtime.images import ImageLimits


def lenient(path: str, **changes: object) -> Records:
    return open_source(DataSettings(path, max_bad_share=1, **changes))  # type: ignore[arg-type]


def problems(records: Records) -> dict[str, str]:
    return {problem.where: problem.reason for problem in records.problems}


def test_bad_rows_are_named_with_line_and_reason_and_the_rest_is_used(tmp_path: Path) -> None:
    good = draw_folder(tmp_path, 3)
    (tmp_path / "torn.jpg").write_bytes(encoded(drawn(9, 256), "JPEG")[:-900])
    (tmp_path / "text.png").write_text("not a picture")
    outside = tmp_path.parent / "outside.png"
    outside.write_bytes(encoded(drawn(8)))
    rows = [
        ("image", "caption"),
        (good[0], "one"),  # line 2
        ("pictures/none.png", "lost"),
        ("torn.jpg", "torn"),
        ("text.png", "text"),
        (good[1], "   "),
        ("", "no picture"),
        ("../outside.png", "outside"),
        ("https://example.org/a.png", "far"),
        (good[1], "two", "three"),
        (good[2], "long " * 1000),  # line 11
        (str(outside), "absolute"),
    ]
    records = lenient(write_csv(tmp_path / "t.csv", rows))
    found = problems(records)
    expected = {
        3: "there is no such file",
        4: "damaged or cut short",
        5: "is not a JPEG, PNG",
        6: "the caption is empty",
        7: "it names no picture",
        8: "lies outside the data's folder",
        9: "web address",
        10: "it has 3 cells where the first line names 2",
        11: "a caption of 5,000 characters was cut to 999",
    }
    assert set(found) == {f"t.csv, line {line}" for line in expected}
    for line, reason in expected.items():
        assert reason in found[f"t.csv, line {line}"], line
    assert [record.where for record in records] == [f"t.csv, line {line}" for line in (2, 11, 12)]
    assert (records.rows, records.skipped) == (11, 8)
    assert "8 of 11 rows skipped" in records.summary()


def test_more_bad_rows_than_allowed_stop_with_the_first_of_them(tmp_path: Path) -> None:
    good = draw_folder(tmp_path, 19)
    rows = [("image", "caption"), *((name, f"picture {name}") for name in good), ("gone.png", "gone")]
    table = write_csv(tmp_path / "t.csv", rows)
    assert open_source(DataSettings(table)).skipped == 1  # 5 %
    with pytest.raises(DataError, match=r"(?s)1 of 20 rows .* \(5.0%, and 4.0% may be\).*line 21: .*gone.png.*no such"):
        open_source(DataSettings(table, max_bad_share=0.04))
    nothing = write_csv(tmp_path / "n.csv", [("image", "caption"), ("gone.png", "gone")])
    with pytest.raises(DataError, match="1 of 1 rows"):
        lenient(nothing)


def test_captions_of_another_type_are_named(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 6)
    values = [5, None, {"a": 1}, ["good", 7], "\ud800 half", "fine"]
    lines = [json.dumps({"image": name, "caption": value}) for name, value in zip(names, values, strict=True)]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines, "{torn", "[1]"]))
    records = lenient(str(tmp_path / "t.jsonl"))
    assert [record.captions for record in records] == [("good",), ("fine",)]
    reasons = {int(where.split()[-1]): reason for where, reason in problems(records).items()}
    assert reasons == {
        1: "the caption is no text (int)",
        2: "the caption is empty",
        3: "the caption is no text (dict)",
        4: "the caption is no text (int)",
        5: "the caption is not written in UTF-8",
        7: "it is no JSON in UTF-8",
        8: "it is no object with named values (list)",
    }


def test_tables_in_other_encodings_spoil_the_row_or_are_refused(tmp_path: Path) -> None:
    draw_folder(tmp_path, 1)
    table = tmp_path / "t.csv"
    table.write_bytes("image,caption\npictures/0.png,Käse\npictures/0.png,cheese\n".encode("cp1252"))
    assert problems(lenient(str(table))) == {"t.csv, line 2": "the caption is not written in UTF-8"}
    table.write_bytes("image,caption\npictures/0.png,Käse\n".encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16: save it as UTF-8"):
        open_source(DataSettings(str(table)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"image,image,caption\n", "two columns named 'image'"),
        ("t.csv", b"image,caption\n", "holds no row"),
        ("t.csv", b'image,caption\na.png,"never closed\nb.png,x\n', "line 2 .* opens a quote that is never closed"),
        ("t.csv", b"url,caption\nhttp://a/b.png,x\n", "by web address"),
        ("t.csv", b"image,price\na.png,3\n", "looks like a caption or a class"),
        ("t.parquet", b"PAR1 not really", "cannot be read as Parquet"),
        ("t.tar", b"not a tar", "cannot be read as a tar file"),
        ("t.docx", b"", "neither a CSV, JSONL, Parquet or tar"),
    ],
)
def test_files_that_cannot_be_read_are_refused_in_a_sentence(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_source(DataSettings(str(tmp_path / name)))


def test_missing_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path / "none-{0..2}.tar"):
        with pytest.raises(DataError, match="names no"):
            open_source(DataSettings(str(path)))
    with pytest.raises(DataError, match="holds no picture"):
        open_source(DataSettings(str(tmp_path)))
    draw_folder(tmp_path, 2)
    with pytest.raises(DataError, match=r"pictures without captions: put a.txt beside a.jpg"):
        open_source(DataSettings(str(tmp_path / "pictures")))


def test_a_folder_names_pictures_without_captions_and_waits_on_no_pipe(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 3)
    (tmp_path / names[0]).with_suffix(".txt").write_text("one")
    os.mkfifo((tmp_path / names[1]).with_suffix(".txt"))
    found = problems(lenient(str(tmp_path)))
    assert "is not a file" in found["pictures/1.png"]
    assert "it has no caption: write 2.txt beside it" in found["pictures/2.png"]


def test_shards_refuse_members_that_point_outside_and_links(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for key in ("../0", "/1", "2", "4"):
            if key == "2":
                link = tarfile.TarInfo("2.png")
                link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
                archive.addfile(link)
            else:
                add(archive, f"{key}.png", encoded(drawn(0)))
            add(archive, f"{key}.txt", b"text")
        add(archive, "5.json", json.dumps({"image": "/etc/hostname", "caption": "mine"}).encode())
        add(archive, "6.json", b"{")
    records = lenient(str(tmp_path / "a.tar"))
    assert [record.where for record in records] == ["a.tar, member 4"]
    reasons = list(problems(records).values())
    assert [("outside" in reason, "no plain file" in reason) for reason in reasons[:3]] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert "a path outside the data set" in reasons[3]
    assert "is no JSON" in reasons[4]


def test_a_shard_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in range(4):
            add(archive, f"{number}.png", encoded(drawn(number, 200)))
            add(archive, f"{number}.txt", b"text")
    (tmp_path / "a.tar").write_bytes(packed.getvalue()[:120_000])
    with pytest.raises(DataError, match="damaged or cut short after"):
        open_source(DataSettings(str(tmp_path / "a.tar")))


def test_a_hub_set_may_not_name_files_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(drawn(0)))
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    rows = [{"bytes": None, "path": str(secret)}, {"bytes": encoded(drawn(1)), "path": None}]
    table = pa.table(
        {"image": pa.array(rows, pa.struct({"bytes": pa.binary(), "path": pa.string()})), "caption": ["a", "b"]}
    )
    found = datasets.Dataset(table.cast(features.arrow_schema), info=datasets.DatasetInfo(features=features))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: found)
    records = lenient("somebody/pictures")
    assert [record.captions for record in records] == [("b",)]
    assert "outside the data set" in records.problems[0].reason


def test_classes_that_are_unknown_or_only_numbers_of_a_list_are_named(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 3)
    table = write_csv(tmp_path / "t.csv", [("image", "label"), *zip(names, [0, 9, ""], strict=True)])
    records = lenient(table, classes=("cat", "dog"))
    assert problems(records) == {
        "t.csv, line 3": "the class '9' is not in the list of classes",
        "t.csv, line 4": "it has no class",
    }
    with pytest.raises(DataError, match="names 'cat' twice"):
        lenient(table, classes=("cat", "cat"))


def test_a_parquet_picture_column_of_another_type_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [1, 2], "caption": ["a", "b"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"row 1: its picture is neither bytes nor a path .int."):
        open_source(DataSettings(str(tmp_path / "t.parquet")))


def test_a_picture_beyond_the_pixel_limit_is_skipped_unread(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 1)
    drawn(1, 120).save(tmp_path / "large.png")
    table = write_csv(tmp_path / "t.csv", [("image", "caption"), (names[0], "a"), ("large.png", "b")])
    records = lenient(table, limits=ImageLimits(max_pixels=10_000))
    assert "the limit is 10,000" in problems(records)["t.csv, line 3"]
