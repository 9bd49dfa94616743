"""From records to batches: one caption a picture and epoch, transforms, samplers that resume, splits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from data_parts import draw_folder, drawn, encoded, write_csv
from PIL import Image
from transformers import AutoProcessor

from open_autoglm.bundle import shipped_folder
from open_autoglm.data import (
    Augmentation,
    DataSettings,
    Draw,
    EvalTransform,
    PairCollator,
    PairDataset,
    PairSampler,
    Records,
    TrainTransform,
    open_source,
    pair_loader,
    split,
)
from open_autoglm.errors import DataError, SettingError
from open_autoglm.modeling import OpenAutoGLMImageProcessor, OpenAutoGLMProcessor
from open_autoglm.runtime.images import Preprocessing, prepare

SQUASH = Preprocessing(32, 40, "squash", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
CROP = Preprocessing(32, 32, "crop", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), crop_from=36)
COUNT = 24


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """24 pictures in 6 classes of 4, with three captions each."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        (
            name,
            f"class {number % 6}",
            f"picture {number} on the left",
            f"thing {number}",
            f"sample {number}",
            number // 2,
        )
        for number, name in enumerate(draw_folder(folder, COUNT))
    ]
    table = write_csv(folder / "t.csv", [("image", "label", "caption_1", "caption_2", "caption_3", "example"), *rows])
    return open_source(DataSettings(table, positives="class", group="example"))


@pytest.fixture(scope="module")
def processor() -> Iterator[OpenAutoGLMProcessor]:
    yield AutoProcessor.from_pretrained(shipped_folder() / "open-autoglm-base")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_batches_are_the_model_s_inputs_as_the_processor_makes_them(
    records: Records, processor: OpenAutoGLMProcessor
) -> None:
    dataset = PairDataset(records, EvalTransform(processor.image_processor.preprocessing))
    pairs = [dataset[Draw(0, row)] for row in (3, 1)]
    batch = PairCollator(processor)(pairs)
    paths = [str(records[row].picture) for row in (3, 1)]
    texts = [pair.caption for pair in pairs]
    expected = processor(text=texts, images=paths, padding=True, return_tensors="pt")
    assert batch["pixel_values"].dtype == torch.float32
    assert torch.equal(batch["pixel_values"], expected["pixel_values"])
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert batch["labels"].tolist() == [3, 1]
    assert batch["rows"].tolist() == [3, 1]


def test_texts_are_cut_and_padded_as_the_model_was_trained(processor: OpenAutoGLMProcessor) -> None:
    plain = PairCollator(processor, max_tokens=8).texts(["a dog", "word " * 50])
    assert plain["input_ids"].shape == (2, 8)
    assert plain["attention_mask"].sum(dim=1).tolist() == [4, 8]
    padded = PairCollator(processor, max_tokens=16, pad_text=True).texts(["a dog"])
    assert padded["input_ids"].shape == (1, 16)
    assert padded["attention_mask"].all()


@pytest.mark.parametrize("preprocessing", [SQUASH, CROP])
def test_evaluation_sees_what_the_runtime_sees_also_with_a_crop(
    preprocessing: Preprocessing, records: Records, processor: OpenAutoGLMProcessor
) -> None:
    other = OpenAutoGLMProcessor(OpenAutoGLMImageProcessor(**vars(preprocessing)), processor.tokenizer)
    pair = PairDataset(records, EvalTransform(preprocessing))[5]
    assert np.array_equal(pair.pixels, prepare(str(records[5].picture), preprocessing))
    expected = other.image_processor([str(records[5].picture)], return_tensors="pt")["pixel_values"]
    assert torch.equal(PairCollator(other)([pair])["pixel_values"], expected)


def test_every_caption_is_used_once_before_one_comes_again(records: Records) -> None:
    dataset = PairDataset(records, EvalTransform(SQUASH), seed=3)
    for row in range(COUNT):
        for cycle in (0, 3, 6):
            used = {dataset.caption(epoch, row) for epoch in range(cycle, cycle + 3)}
            assert used == set(records[row].captions)
    orders = {
        tuple(records[row].captions.index(dataset.caption(epoch, row)) for epoch in range(3)) for row in range(COUNT)
    }
    assert len(orders) > 1


@pytest.mark.parametrize("preprocessing", [SQUASH, CROP])
def test_augmentation_follows_from_seed_epoch_and_row(preprocessing: Preprocessing, records: Records) -> None:
    dataset = PairDataset(records, TrainTransform(preprocessing), seed=1)
    first = dataset[Draw(2, 7)]
    assert first.pixels.shape == (preprocessing.height, preprocessing.width, 3)
    assert first.pixels.dtype == np.uint8
    torch.manual_seed(99)
    np.random.seed(99)
    again = PairDataset(records, TrainTransform(preprocessing), seed=1)[Draw(2, 7)]
    assert np.array_equal(first.pixels, again.pixels)
    others = [dataset[Draw(3, 7)], dataset[Draw(2, 8)], PairDataset(records, dataset.transform, seed=2)[Draw(2, 7)]]
    assert not any(np.array_equal(first.pixels, other.pixels) for other in others)


def test_each_augmentation_does_what_its_name_says() -> None:
    nothing = {"smallest_crop": 1.0, "stretch": 1.0, "mirror": 0.0, "colour": 0.0, "blur": 0.0}
    picture = encoded(drawn(4, 80))
    plain = prepare(picture, SQUASH).astype(int)

    def varied(seed: int = 0, may_mirror: bool = True, **changes: float) -> np.ndarray:
        transform = TrainTransform(SQUASH, Augmentation(**{**nothing, **changes}))
        return transform(picture, np.random.default_rng(seed), may_mirror).astype(int)

    assert np.abs(varied() - plain).max() <= 1
    assert np.abs(varied(mirror=1.0) - plain[:, ::-1]).max() <= 1
    assert np.abs(varied(mirror=1.0, may_mirror=False) - plain).max() <= 1
    assert len({round(varied(seed, colour=0.5).mean()) for seed in range(5)}) > 1
    large = Preprocessing(320, 320, "squash", SQUASH.mean, SQUASH.std)
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    blurred = TrainTransform(large, Augmentation(**{**nothing, "blur": 1.0}))(noise, np.random.default_rng(0))
    assert np.diff(blurred.astype(int), axis=1).std() < 0.8 * np.diff(noise.astype(int), axis=1).std()
    assert np.abs(varied(smallest_crop=0.3) - plain).mean() > 5


def test_pictures_are_not_mirrored_under_captions_that_name_a_side(records: Records) -> None:
    transform = TrainTransform(SQUASH, Augmentation(1.0, 1.0, mirror=1.0, colour=0.0, blur=0.0))
    dataset = PairDataset(records, transform)
    for epoch in range(3):
        pair = dataset[Draw(epoch, 0)]
        plain = prepare(str(records[0].picture), SQUASH)
        expected = plain if "left" in pair.caption else plain[:, ::-1]
        assert np.abs(pair.pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("image", [(1, 400), (400, 1), (1, 1)])
@pytest.mark.parametrize("preprocessing", [SQUASH, CROP])
def test_odd_shapes_come_out_in_size(image: tuple[int, int], preprocessing: Preprocessing) -> None:
    transform = TrainTransform(preprocessing)
    picture = encoded(Image.new("RGB", image, "red"))
    for seed in range(5):
        assert transform(picture, np.random.default_rng(seed)).shape == (preprocessing.height, preprocessing.width, 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_taken_up_in_mid_epoch_sees_the_same_batches_bit_for_bit(
    workers: int, records: Records, processor: OpenAutoGLMProcessor
) -> None:
    def start() -> tuple[PairSampler, torch.utils.data.DataLoader]:
        dataset = PairDataset(records, TrainTransform(SQUASH), seed=5)
        sampler = PairSampler(records.labels, 5, seed=5, distinct_labels=True)
        return sampler, pair_loader(dataset, sampler, PairCollator(processor), workers)

    sampler, loader = start()
    state = torch.random.get_rng_state()
    whole = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        whole += list(loader)
    assert len(whole) == 2 * len(sampler) == 8
    assert torch.equal(torch.random.get_rng_state(), state)

    sampler, loader = start()
    sampler.set_epoch(0)
    batches = iter(loader)
    before = [next(batches), next(batches)]
    saved = sampler.state_dict(batches=2)  # workers have fetched more by now
    sampler, loader = start()
    sampler.load_state_dict(saved)
    after = []
    for epoch in range(saved["epoch"], 2):
        sampler.set_epoch(epoch)
        after += list(loader)
    assert all(same(*pair) for pair in zip(whole, before + after, strict=True))


def test_a_state_of_other_data_or_settings_is_refused_and_one_at_the_end_starts_the_next_epoch() -> None:
    labels = np.arange(40)
    state = PairSampler(labels, 4, seed=1).state_dict(batches=10)
    for other in (PairSampler(labels, 4, seed=2), PairSampler(labels[:-1], 4, seed=1), PairSampler(labels, 5, seed=1)):
        with pytest.raises(DataError, match="go on with the same data and settings"):
            other.load_state_dict(state)
    sampler = PairSampler(labels, 4, seed=1)
    sampler.load_state_dict(state)
    assert next(iter(sampler))[0].epoch == 1


def test_the_sampler_uses_every_row_once_and_another_order_each_epoch() -> None:
    sampler = PairSampler(np.arange(103), 10, drop_last=False)
    orders = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) == 11
        rows = [draw.row for batch in batches for draw in batch]
        assert sorted(rows) == list(range(103))
        orders.append(rows)
    assert orders[0] != orders[1]
    assert len(list(PairSampler(np.arange(103), 10))) == 10


@pytest.mark.parametrize("drop_last", [True, False])
def test_distinct_labels_never_meet_where_there_are_batches_enough(drop_last: bool) -> None:
    random = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(30), 10), 30 + np.arange(100)])
    random.shuffle(labels)
    sampler = PairSampler(labels, 32, seed=4, distinct_labels=True, drop_last=drop_last)
    seen = set()
    for batch in sampler:
        here = [labels[draw.row] for draw in batch]
        assert len(set(here)) == len(here) <= 32
        seen |= {draw.row for draw in batch}
    assert len(seen) == (384 if drop_last else 400)
    many = PairSampler(np.repeat([0, 1], 50), 10, distinct_labels=True)  # cannot be: spread evenly instead
    assert all(sum(draw.row < 50 for draw in batch) == 5 for batch in many)


def test_processes_share_a_common_batch_without_overlap() -> None:
    labels = np.repeat(np.arange(20), 3)
    alone = [[draw.row for draw in batch] for batch in PairSampler(labels, 12, seed=7, distinct_labels=True)]
    parts = [list(PairSampler(labels, 6, seed=7, distinct_labels=True, rank=rank, world_size=2)) for rank in (0, 1)]
    for whole, first, second in zip(alone, *parts, strict=True):
        assert sorted(whole) == sorted(draw.row for draw in (*first, *second))
        assert len(first) == len(second) == 6


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(DataError, match="5 pictures do not fill a batch of 8"):
        PairSampler(np.arange(5), 8)
    with pytest.raises(SettingError, match="at least 1"):
        PairSampler(np.arange(5), 0)


def test_a_picture_lost_in_mid_training_is_named_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = draw_folder(tmp_path, 3)
    table = write_csv(tmp_path / "t.csv", [("image", "caption"), *((name, f"picture {name}") for name in names)])
    records = open_source(DataSettings(table))
    dataset = PairDataset(records, EvalTransform(SQUASH))
    (tmp_path / names[1]).unlink()
    with caplog.at_level(logging.WARNING):
        pair = dataset[1]
    assert (pair.row, pair.caption) == (2, "picture pictures/2.png")
    assert "t.csv, line 3" in caplog.text
    for name in names:
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(DataError, match="can no longer be read"):
        dataset[0]


def test_a_split_keeps_groups_and_equal_pictures_together(records: Records) -> None:
    train, validation = split(records, 0.25, seed=1)
    assert (len(train), len(validation)) == (18, 6)
    assert not {record.group for record in train} & {record.group for record in validation}
    again = split(records.select(reversed(range(COUNT))), 0.25, seed=1)[1]
    assert {record.key for record in again} == {record.key for record in validation}
    assert {record.key for record in split(records, 0.25, seed=2)[1]} != {record.key for record in validation}
    assert [records.classes[label] for label in train.labels] == [record.label for record in train]


def test_a_split_that_cannot_be_is_refused(records: Records) -> None:
    for share in (0, 1):
        with pytest.raises(DataError, match="between 0 and 1"):
            split(records, share)
    with pytest.raises(DataError, match="cannot be split"):
        split(records.select([0]), 0.5)


@pytest.mark.parametrize("changes", [{"smallest_crop": 0}, {"stretch": 0.5}, {"mirror": 2}, {"blur": -1}])
def test_augmentations_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        Augmentation(**changes)
