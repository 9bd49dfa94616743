"""Sentences that are encoded in groups by length have the vectors and gradients they have alone."""

from __future__ import annotations

from pathlib import Path

import torch
from training_parts import tiny_model

from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.modeling.similarity import SIMILARITIES
from open_autoglm.training.aligning import PairEncoder as Encoder
from open_autoglm.training.lengths import by_length

LENGTHS = (2, 9, 3, 2, 8, 1, 3)


def mask_of(lengths: tuple[int, ...], width: int = 12) -> torch.Tensor:
    return (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()


def test_every_row_is_in_one_group_with_all_of_its_words_and_little_padding() -> None:
    mask = mask_of(LENGTHS)
    groups = by_length(mask)
    assert sorted(torch.cat([rows for rows, _ in groups]).tolist()) == list(range(len(LENGTHS)))
    assert all(mask[rows, width:].sum() == 0 for rows, width in groups)
    assert [(len(rows), width) for rows, width in groups] == [(5, 3), (2, 9)]


def test_sentences_of_about_one_length_and_padding_in_front_stay_together() -> None:
    for mask, width in ((mask_of((9, 8, 9, 8)), 9), (mask_of((2, 9)).flip(1), 12), (torch.zeros(2, 4).long(), 1)):
        ((rows, columns),) = by_length(mask)
        assert rows.tolist() == list(range(len(mask))) and columns == width


def test_vectors_words_and_gradients_are_those_of_each_sentence_alone(tmp_path: Path) -> None:
    model = OpenAutoGLM.from_pretrained(tiny_model(tmp_path)).double().eval()
    mask = mask_of(LENGTHS)
    ids = torch.randint(2, 17, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    for parts in (False, True):
        model.similarity = SIMILARITIES["region_word" if parts else "cosine"](model.config.projection_dim)
        encoder = Encoder(model)
        found = encoder.texts(ids, mask)
        alone = [encoder.texts(ids[row : row + 1], mask[row : row + 1]) for row in range(len(mask))]
        expected = torch.cat([one.whole for one in alone])
        assert torch.allclose(found.whole, expected, atol=1e-6)
        direction = torch.randn(expected.shape)
        weight = model.text_head.weight
        together, apart = (torch.autograd.grad((side * direction).sum(), weight)[0] for side in (found.whole, expected))
        assert torch.allclose(together, apart, atol=1e-5)
        if parts:
            assert found.parts is not None
            for row, one in enumerate(alone):
                assert one.parts is not None and found.parts.mask[row].sum() == LENGTHS[row]
                assert torch.allclose(found.parts.vectors[row, : LENGTHS[row]], one.parts.vectors[0], atol=1e-6)
