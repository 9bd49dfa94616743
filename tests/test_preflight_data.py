"""The look over the data before a training: what it finds, what it leaves alone, and that it says what to change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from data_parts import draw_folder, drawn, encoded, write_csv
from PIL import Image

from open_autoglm.data import DataSettings, Records, open_source, split
from open_autoglm.training.preflight_data import BatchPlan, Finding, check_data
from open_autoglm.training.preflight_lookalikes import Looks, alike

ROOT = Path(__file__).parent.parent
SMALL = BatchPlan(batch_size=8, queue=60)
ANY_QUEUE = "large queue"


def kinds(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {finding.kind: finding for finding in findings if finding.kind != ANY_QUEUE}


def read(folder: Path, name: str, pictures: Sequence[bytes], **columns: Sequence[object]) -> Records:
    """Records of these pictures, in files of their own."""
    (folder / name).mkdir(parents=True)
    columns = columns or {"caption": [f"the {number} of {name}" for number in range(len(pictures))]}
    rows = [("image", *columns)]
    for number, picture in enumerate(pictures):
        (folder / name / f"{number}.png").write_bytes(picture)
        rows.append((f"{number}.png", *(str(column[number]) for column in columns.values())))
    return open_source(DataSettings(write_csv(folder / name / f"{name}.csv", rows)))


def pictures(first: int, last: int) -> list[bytes]:
    return [encoded(drawn(seed, 160)) for seed in range(first, last)]


def test_good_data_gives_no_finding(tmp_path: Path) -> None:
    splits = {"train": read(tmp_path, "train", pictures(0, 30)), "validation": read(tmp_path, "val", pictures(30, 40))}
    assert kinds(check_data(splits, SMALL)) == {}


def test_the_same_bytes_in_two_splits_are_a_leak(tmp_path: Path) -> None:
    splits = {"train": read(tmp_path, "train", pictures(0, 20)), "validation": read(tmp_path, "val", pictures(19, 25))}
    found = kinds(check_data(splits, SMALL))
    assert set(found) == {"same pictures in two splits"}
    finding = found["same pictures in two splits"]
    assert finding.severity == "error"
    assert finding.examples == ("train: train.csv, line 21, validation: val.csv, line 2",)
    assert "Take them out of one of the splits" in str(finding)


@pytest.mark.parametrize("change", ["smaller", "jpeg", "brighter", "squashed", "one pixel"])
def test_copies_of_another_size_form_or_brightness_are_found(change: str, tmp_path: Path) -> None:
    image = drawn(3, 160)
    copy = {
        "smaller": encoded(image.resize((70, 75))),
        "jpeg": encoded(image, "JPEG", 40),
        "brighter": encoded(image.point(lambda value: min(255, int(1.1 * value)))),
        "squashed": encoded(image.resize((128, 128))),
        "one pixel": encoded(image.crop((1, 1, 159, 167))),
    }[change]
    train, other = read(tmp_path, "train", pictures(0, 20)), read(tmp_path, "val", [*pictures(20, 25), copy])
    found = kinds(check_data({"train": train, "validation": other}, SMALL))
    assert set(found) == {"pictures that look the same in two splits"}
    assert found["pictures that look the same in two splits"].examples == (
        "train: train.csv, line 5, validation: val.csv, line 7",
    )


def test_plain_pictures_of_other_colours_are_no_copies(tmp_path: Path) -> None:
    plain = [encoded(Image.new("RGB", (64, 64), (5 * step, 100, 250 - 8 * step))) for step in range(24)]
    splits = {"train": read(tmp_path, "train", plain[:20]), "validation": read(tmp_path, "val", plain[20:])}
    assert kinds(check_data(splits, SMALL)) == {}


def test_near_copies_among_very_many_pictures_are_found() -> None:
    random = np.random.default_rng(0)
    count = 20_000
    hashes = random.integers(0, 2**63, count, dtype=np.uint64)
    thumbnails = random.uniform(0, 255, (count, 192)).astype(np.float32)
    for copy in range(100):  # of one picture each, up to 7 bits and a little noise apart
        flips = random.choice(64, random.integers(0, 8), replace=False)
        hashes[count - 1 - copy] = hashes[copy] ^ np.uint64(sum(1 << int(bit) for bit in flips))
        thumbnails[count - 1 - copy] = thumbnails[copy] + random.normal(0, 4, 192)
    looks = Looks(tuple(map(str, range(count))), hashes, thumbnails, {})
    assert {tuple(pair) for pair in alike(looks).tolist()} == {(copy, count - 1 - copy) for copy in range(100)}


def test_lost_and_unreadable_files_are_told_apart(tmp_path: Path) -> None:
    records = read(tmp_path, "train", pictures(0, 20))
    (tmp_path / "train" / "3.png").unlink()
    (tmp_path / "train" / "5.png").write_bytes(b"not a picture")
    found = kinds(check_data({"train": records}, SMALL))
    assert set(found) == {"missing files", "unreadable pictures"}
    assert "train.csv, line 5" in found["missing files"].examples[0]
    assert "train.csv, line 7" in found["unreadable pictures"].examples[0]


def test_skipped_rows_are_told_with_their_reasons(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 25)
    table = write_csv(
        tmp_path / "t.csv", [("image", "caption"), *((name, f"a {name}") for name in names), ("x.png", "x")]
    )
    found = kinds(check_data({"train": open_source(DataSettings(table))}, SMALL))
    assert "1 of 26 rows of train were skipped" in found["skipped rows"].what
    assert "x.png" in found["skipped rows"].examples[0]


def test_captions_and_examples_in_two_splits_are_found_but_not_those_of_classes(tmp_path: Path) -> None:
    train = read(tmp_path, "train", pictures(0, 20), caption=[f"caption {number}" for number in range(20)])
    other = read(tmp_path, "val", pictures(20, 25), caption=["Caption 3.", "b", "c d", "d e", "e f"])
    finding = kinds(check_data({"train": train, "validation": other}, SMALL))["same captions in two splits"]
    assert "1 of the 5 captions of validation are in train too" in finding.what
    classed = read(tmp_path, "classed", pictures(0, 24), label=[f"thing {number // 2}" for number in range(24)])
    first, second = classed.select(range(0, 24, 2)), classed.select(range(1, 24, 2))
    assert kinds(check_data({"train": first, "validation": second}, SMALL)) == {}


def questions(folder: Path, name: str, numbers: range, answers: Sequence[str]) -> Records:
    """Pictures that are all asked the same."""
    folder = folder / name
    folder.mkdir()
    for number in numbers:
        (folder / f"{number}.png").write_bytes(encoded(drawn(number, 160)))
    rows = [(f"{number}.png", "Is it red?", answer) for number, answer in zip(numbers, answers, strict=True)]
    table = write_csv(folder / f"{name}.csv", [("image", "question", "answer"), *rows])
    return open_source(DataSettings(table, answer="answer"))


def test_questions_are_meant_to_be_shared_but_not_to_give_their_answers_away(tmp_path: Path) -> None:
    train = questions(tmp_path, "train", range(20), ["yes", "no"] * 10)
    held = questions(tmp_path, "held", range(20, 26), ["yes", "no"] * 3)
    assert kinds(check_data({"train": train, "validation": held}, SMALL)) == {}
    easy = questions(tmp_path, "easy", range(20), ["yes"] * 18 + ["no"] * 2)
    other = questions(tmp_path, "other", range(20, 26), ["yes", "no", "Yes"] * 2)
    found = kinds(check_data({"train": easy, "validation": other}, SMALL))
    assert "is right 90% of the time in train" in found["questions that give their answers away"].what
    assert found["answers without training"].examples == ("Yes",)


def test_groups_that_straddle_are_found_and_split_avoids_them(tmp_path: Path) -> None:
    names = draw_folder(tmp_path, 30)
    rows = [(name, f"a {name}", f"{number // 3}-{number}") for number, name in enumerate(names)]
    table = write_csv(tmp_path / "t.csv", [("image", "caption", "example"), *rows])
    records = open_source(DataSettings(table, group="example", group_pattern=r"^\d+"))
    torn = {"train": records.select(range(20)), "validation": records.select(range(20, 30))}
    assert kinds(check_data(torn, SMALL))["same groups in two splits"].examples == ("6",)
    whole = dict(zip(("train", "validation"), split(records, 0.3), strict=True))
    assert "same groups in two splits" not in kinds(check_data(whole, SMALL))


def test_one_picture_in_two_classes_is_a_contradiction(tmp_path: Path) -> None:
    labels = [*(f"thing {number}" for number in range(20)), "another"]
    records = read(tmp_path, "train", [*pictures(0, 20), *pictures(4, 5)], label=labels)
    finding = kinds(check_data({"train": records}, SMALL))["one picture in several classes"]
    assert finding.examples == ("train: train.csv, line 6, train: train.csv, line 22",)


@pytest.mark.parametrize(
    ("captions", "kind", "words"),
    [
        ([f"собака номер {number}" for number in range(20)], "captions in another script", "20 of 20"),
        (["many words " * 60 + str(number) for number in range(20)], "long captions", "128 tokens"),
        ([f"word{number}" for number in range(20)], "short captions", "single word"),
        ([f'["picture {number}", "a photo"]' for number in range(20)], "captions shared by many", "20 of the 20"),
    ],
)
def test_captions_that_teach_little_are_found(captions: list[str], kind: str, words: str, tmp_path: Path) -> None:
    found = kinds(check_data({"train": read(tmp_path, "train", pictures(0, 20), caption=captions)}, SMALL))
    assert words in found[kind].what
    assert found[kind].advice.endswith(".")


def test_classes_out_of_balance_or_without_training_are_found(tmp_path: Path) -> None:
    train = read(tmp_path, "train", pictures(0, 24), label=["many"] * 22 + ["one", "two"])
    other = read(tmp_path, "val", pictures(24, 30), label=["many", "new", "one", "two", "many", "many"])
    found = kinds(check_data({"train": train, "validation": other}, SMALL))
    assert "22 pictures of 'many' and 1 of" in found["class imbalance"].what
    assert found["classes without training"].examples == ("new",)


@pytest.mark.parametrize(
    ("plan", "labels", "kind"),
    [
        (BatchPlan(batch_size=64), None, "too few pictures"),
        (BatchPlan(batch_size=16), None, "small batch"),
        (BatchPlan(batch_size=8, needs_repeats=True), None, "too few repeats for triplets"),
        (BatchPlan(batch_size=16), [f"thing {number % 3}" for number in range(40)], "few labels for the batch"),
        (BatchPlan(batch_size=16, queue=20), None, ANY_QUEUE),
    ],
)
def test_a_batch_that_does_not_fit_the_objective_is_found(
    plan: BatchPlan, labels: list[str] | None, kind: str, tmp_path: Path
) -> None:
    columns = {"label": labels} if labels else {}
    findings = check_data({"train": read(tmp_path, "train", pictures(0, 40), **columns)}, plan)
    assert kind in {finding.kind for finding in findings}
    assert [finding.rank for finding in findings] == sorted(finding.rank for finding in findings)


def test_the_grocery_splits_have_no_leak_between_them() -> None:
    folder = ROOT.parent / "shared" / "data" / "grocery"
    if not folder.is_dir():
        print("skipped: ../shared/data/grocery is not here")
        return
    splits = {
        name: open_source(DataSettings(str(folder / f"{name}.parquet"), label="fine_id", check="none"))
        for name in ("val", "test")
    }
    assert not [finding for finding in check_data(splits) if finding.severity == "error"]
