"""Similarities: the tensors' side, the arrays' side, and that both are the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from open_autoglm import manifest_checks
from open_autoglm.errors import SettingError
from open_autoglm.modeling import similarity as tensors
from open_autoglm.modeling.similarity import Bilinear, Cosine, Euclidean, Features, Parts, RegionWord
from open_autoglm.runtime import similarity as arrays
from open_autoglm.runtime.similarity import Queries, Words, match_words

IMAGES, TEXTS, REGIONS, WORDS, WIDTH = 5, 4, 3, 6, 8


def sides(dtype: torch.dtype = torch.float32) -> tuple[Features, Features]:
    """Random pictures with 1..3 regions and sentences with 1..6 words."""
    generator = torch.Generator().manual_seed(0)

    def side(count: int, parts: int) -> Features:
        whole, several = (
            F.normalize(torch.randn(*shape, WIDTH, generator=generator, dtype=torch.float64), dim=-1).to(dtype)
            for shape in ((count,), (count, parts))
        )
        mask = torch.arange(parts) < torch.randint(1, parts + 1, (count, 1), generator=generator)
        return Features(whole, Parts(several, mask))

    return side(IMAGES, REGIONS), side(TEXTS, WORDS)


def matrix() -> Tensor:
    return torch.eye(WIDTH) + 0.3 * torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(1))


def queries(texts: Features) -> Queries:
    """The same sentences as the arrays' side has them."""
    parts = texts.parts
    words = parts and Words(parts.vectors.numpy(), parts.mask.numpy(), (("",) * WORDS,) * TEXTS)
    return Queries(texts.whole.numpy(), words)


def test_both_sides_and_the_manifest_offer_the_same_similarities() -> None:
    assert set(tensors.SIMILARITIES) == set(arrays.SIMILARITIES) == manifest_checks.SIMILARITIES
    for name, made in tensors.SIMILARITIES.items():
        assert arrays.SIMILARITIES[name](matrix().numpy()).needs_parts == made(WIDTH).needs_parts


@pytest.mark.parametrize("name", ["cosine", "euclidean", "bilinear"])
def test_arrays_and_tensors_agree(name: str) -> None:
    images, texts = sides()
    module = tensors.SIMILARITIES[name](WIDTH)
    learned = matrix() if name == "bilinear" else None
    if isinstance(module, Bilinear) and learned is not None:
        module.matrix.data.copy_(learned)
    compare = arrays.SIMILARITIES[name](None if learned is None else learned.numpy())
    with torch.no_grad():
        expected = module(images, texts).numpy()
    whole = images.whole.numpy()
    found = compare(queries(texts), whole[:, None])
    assert np.allclose(found.T, expected, atol=1e-5)
    assert found.dtype == np.float32
    views = np.stack([whole, whole[::-1]], axis=1)
    assert np.allclose(compare(queries(texts), views), np.maximum(found, found[:, ::-1]), atol=1e-6), "the best view"


def test_arrays_and_tensors_agree_on_words_and_regions() -> None:
    images, texts = sides()
    regions, words = tensors.both_parts(images, texts)
    module = RegionWord()
    found = match_words(words.vectors.numpy(), regions.vectors.numpy(), words.mask.numpy(), regions.mask.numpy())
    assert np.allclose(found.scores.T, module(images, texts).numpy(), atol=1e-5)
    where = module.best_regions(images, texts).numpy()
    assert where.shape == (IMAGES, TEXTS, WORDS)
    assert np.array_equal(found.regions.transpose(1, 0, 2), where)
    best = np.take_along_axis(
        np.einsum("nrd,qwd->qnwr", regions.vectors.numpy(), words.vectors.numpy()), found.regions[..., None], axis=3
    )[..., 0]
    there = (words.mask[:, None, :] & regions.mask.all(dim=1)[None, :, None]).numpy()
    assert np.allclose(found.cosines[there], best[there], atol=1e-6)


def test_words_are_compared_with_all_views_but_the_whole_or_with_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    images, texts = sides()
    regions, _ = tensors.both_parts(images, texts)
    regions = Parts(regions.vectors, torch.ones_like(regions.mask))
    expected = RegionWord()(Features(images.whole, regions), texts).numpy()
    whole = images.whole[:, None]
    views = torch.cat([whole, regions.vectors], dim=1).numpy()
    compare = arrays.SIMILARITIES["region_word"](None)
    alone = RegionWord()(Features(images.whole, Parts(whole, torch.ones(IMAGES, 1, dtype=torch.bool))), texts).numpy()
    for cells in (arrays.BLOCK_CELLS, 2 * TEXTS * WORDS * REGIONS):
        monkeypatch.setattr(arrays, "BLOCK_CELLS", cells)
        assert np.allclose(compare(queries(texts), views).T, expected, atol=1e-5)
        assert np.allclose(compare(queries(texts), views[:, :1]).T, alone, atol=1e-5)
    with pytest.raises(SettingError, match="trained"):
        compare(Queries(texts.whole.numpy()), views)


def test_queries_are_taken_apart_and_joined() -> None:
    _, texts = sides()
    all_of_them = queries(texts)
    parts = [all_of_them[[2]], Queries.none(WIDTH, words=True), all_of_them[:2], all_of_them[np.array([3])]]
    back = Queries.joined(parts)[[1, 2, 0, 3]]
    assert back.words is not None and all_of_them.words is not None
    assert np.array_equal(back.vectors, all_of_them.vectors) and len(back) == TEXTS
    assert np.array_equal(back.words.vectors, all_of_them.words.vectors)
    assert np.array_equal(back.words.mask, all_of_them.words.mask)


def test_late_interaction_is_the_written_out_formula() -> None:
    images, texts = sides(torch.float64)
    regions, words = tensors.both_parts(images, texts)
    scores, where = RegionWord()(images, texts), RegionWord().best_regions(images, texts)
    for i in range(IMAGES):
        for j in range(TEXTS):
            best = []
            for word in range(int(words.mask[j].sum())):
                cosines = [
                    (regions.vectors[i, region] @ words.vectors[j, word]).item()
                    for region in range(int(regions.mask[i].sum()))
                ]
                best.append(max(cosines))
                assert where[i, j, word] == cosines.index(max(cosines))
            assert scores[i, j].item() == pytest.approx(sum(best) / len(best))


def test_late_interaction_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for cells in (1 << 24, 2 * TEXTS * WORDS * REGIONS):
        monkeypatch.setattr(tensors, "BLOCK_CELLS", cells)
        images, texts = sides(torch.float64)
        regions, words = tensors.both_parts(images, texts)
        given = (regions.vectors.requires_grad_(), words.vectors.requires_grad_())
        scores = RegionWord()(images, texts)
        found.append([scores.detach(), *torch.autograd.grad(scores.square().sum(), given)])
    assert all(torch.allclose(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("make", [Cosine, Euclidean, lambda: Bilinear(WIDTH).double(), RegionWord])
def test_gradients_are_those_of_finite_differences(make: Callable[[], torch.nn.Module]) -> None:
    images, texts = sides(torch.float64)
    module = make()
    regions, words = tensors.both_parts(images, texts)

    def compare(image: Tensor, text: Tensor, region: Tensor, word: Tensor, *_: Tensor) -> Tensor:
        scores: Tensor = module(Features(image, Parts(region, regions.mask)), Features(text, Parts(word, words.mask)))
        return scores

    given = [tensor.clone().requires_grad_() for tensor in (*images.vectors[:1], *texts.vectors[:1])]
    given += [part.vectors.clone().requires_grad_() for part in (regions, words)]
    assert torch.autograd.gradcheck(compare, [*given, *module.parameters()], check_batched_grad=False)


def test_bilinear_starts_as_the_cosine_and_folds_into_the_query() -> None:
    images, texts = sides()
    assert torch.allclose(Bilinear(WIDTH)(images, texts), Cosine()(images, texts))
    learned = arrays.Bilinear(matrix().numpy())
    sentences, vectors = texts.whole.numpy(), images.whole.numpy()
    scores = learned(Queries(sentences), vectors[:, None])
    assert np.allclose(arrays.cosine(learned.fold(sentences), vectors), scores)
    assert np.allclose(scores.T, vectors @ matrix().numpy() @ sentences.T, atol=1e-5)
    with pytest.raises(SettingError, match="matrix"):
        arrays.SIMILARITIES["bilinear"](None)


def test_euclidean_ranks_unit_vectors_as_the_cosine_does() -> None:
    images, texts = sides()
    distance, cosine = Euclidean()(images, texts), Cosine()(images, texts)
    assert torch.allclose(distance, 2 * cosine - 2, atol=1e-6)
    assert torch.allclose(distance, -(torch.cdist(images.whole, texts.whole) ** 2), atol=1e-5)


def test_without_words_the_score_is_0_and_without_regions_minus_1() -> None:
    images, texts = sides()
    regions, words = tensors.both_parts(images, texts)
    regions.mask[0], words.mask[1] = False, False
    scores = RegionWord()(images, texts)
    assert scores[0, 0].item() == pytest.approx(-1) and (scores[:, 1] == 0).all()
    found = match_words(words.vectors.numpy(), regions.vectors.numpy(), words.mask.numpy(), regions.mask.numpy())
    assert np.allclose(found.scores.T, scores.numpy(), atol=1e-5)


def test_whole_vectors_alone_are_not_enough_for_words_and_regions() -> None:
    images, texts = sides()
    with pytest.raises(SettingError, match="regions and words"):
        RegionWord()(Features(images.whole), texts)


def test_half_precision_vectors_are_compared_in_float32() -> None:
    images, texts = (
        side.map(lambda tensor: tensor.bfloat16() if tensor.is_floating_point() else tensor) for side in sides()
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(module(images, texts).dtype == torch.float32 for module in (Cosine(), Euclidean(), RegionWord()))
