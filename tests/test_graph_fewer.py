"""A graph compares its vectors by fewer numbers than they have; what that keeps, and where it is not done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graph_parts import unit

from open_autoglm.search.graph import Width
from open_autoglm.search.halves import as_floats, products
from open_autoglm.search.net import Mask, Net, wanted, write_net
from open_autoglm.search.projection import Projection, found_by, projected, spread
from open_autoglm.search.sections import Sections, SectionWriter

WIDE, TRUE = 256, 24  # numbers of a vector, and directions in which vectors truly differ
COUNT = 3000


def alike(count: int, seed: int = 0, aside: float = 0.0) -> np.ndarray:
    """Unit vectors in few directions with some noise; ``aside``: as far from the others as texts are from pictures."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(WIDE, TRUE + 1)))[0].T
    vectors = rng.normal(size=(count, TRUE)) @ basis[:TRUE] + aside * basis[TRUE]
    return unit(vectors + 0.06 * rng.normal(size=(count, WIDE)))


def opened(tmp_path: Path, vectors: np.ndarray, width: Width) -> Net:
    """A net over vectors [n, d]."""
    writer = SectionWriter(tmp_path / "net")
    write_net(writer, "wholes", vectors.astype(np.float16)[:, None], width, 1, lambda done: None)
    writer.finish({})
    writer.close()
    return Net(Sections(tmp_path / "net"), "wholes", 1)


def best(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The rows [q, 10] of the best, by comparing all."""
    return np.argsort(-(queries @ vectors.T), axis=1)[:, :10]


def shared(found: np.ndarray, wanted: np.ndarray) -> float:
    """The share of what was wanted that was found."""
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]))


def test_what_is_nearest_stays_so_with_a_quarter_of_the_numbers() -> None:
    vectors, queries = alike(COUNT), alike(50, seed=2, aside=3.0)
    projection = Projection.of(vectors, 0.5)
    assert projection is not None and projection.axes.shape == (WIDE, WIDE // 4)
    fewer, asked = projection.vectors(vectors), projection.queries(queries)
    assert np.linalg.norm(fewer, axis=1) == pytest.approx(1, abs=1e-5)
    distances = ((fewer[None] - asked[:, None]) ** 2).sum(axis=2)
    lengths = (asked**2).sum(axis=1, keepdims=True)
    assert distances == pytest.approx(1 + lengths - 2 * asked @ fewer.T, abs=1e-5)
    nearest = distances.argsort(axis=1)[:, :30]
    assert shared(nearest, best(vectors, queries)) >= 0.97
    spread = np.abs(fewer).mean(axis=0)
    assert spread.max() < 4 * spread.min(), "one step does not suit all of the numbers"


def test_more_is_kept_where_more_is_asked_for_and_all_where_nothing_is_to_be_gained() -> None:
    vectors = alike(COUNT)
    kept = [Projection.of(vectors, share) for share in (0.8, 0.9, 0.999)]
    assert kept[2] is None
    few, more = (projection.axes.shape[1] for projection in kept[:2] if projection)
    assert few <= more and more % 32 == 0
    rng = np.random.default_rng(0)
    assert Projection.of(unit(rng.normal(size=(COUNT, WIDE))), 0.95) is None
    assert Projection.of(unit(rng.normal(size=(COUNT, 16))), 0.5) is None


@pytest.mark.parametrize("kept", [0.5, 1.0])
def test_a_net_finds_the_same_with_fewer_numbers(tmp_path: Path, kept: float) -> None:
    vectors, queries = alike(COUNT), alike(50, seed=2, aside=3.0)
    net = opened(tmp_path, vectors, Width(kept=kept))
    assert (net._axes is None) == (kept == 1)
    right = best(vectors, queries)
    together = net.near_all(queries, 40, 128)
    assert together is not None and shared(together, right) >= 0.95
    assert shared(np.stack([net.near(query, 40, 128, None, False) for query in queries]), right) >= 0.95
    few = Mask(np.arange(COUNT) < 200)
    scanned = np.stack([net.scan(query, 40, few) for query in queries])
    assert scanned.max() < 200
    assert shared(scanned, best(vectors[:200], queries)) >= 0.97


def test_equal_pictures_are_found_many_at_once(tmp_path: Path) -> None:
    """A folder of photos has copies: they share a node, and each of them is found."""
    vectors = alike(COUNT)
    vectors[10:60] = vectors[5]
    vectors[100] = vectors[7]
    net = opened(tmp_path, vectors, Width(kept=0.5))
    assert len(net) == COUNT - 51
    found = net.near_all(np.stack([vectors[5], vectors[7], vectors[200]]), 30, 64)
    assert found is not None and found.shape == (3, 30)
    assert found[0].tolist() == [5, *range(10, 39)]
    assert found[1, :2].tolist() == [7, 100]
    assert found[2, 0] == 200
    assert found.tolist() == [net.near(vectors[row], 30, 64, None, False).tolist() for row in (5, 7, 200)]


def test_products_of_halves_are_those_of_the_same_floats() -> None:
    halves = alike(60).astype(np.float16).reshape(3, 20, WIDE)
    halves[0, 0, :8] = 6e-8, -6e-8, 0, -0.0, 6e-5, -6e-5, 1, -1
    queries = alike(3, seed=4)
    exact = (as_floats(halves).astype(np.float64) * queries[:, None].astype(np.float64)).sum(axis=2)
    assert products(halves, queries) == pytest.approx(exact, abs=1e-6)


def test_photos_taken_in_a_row_get_as_many_numbers_as_tell_them_apart(tmp_path: Path) -> None:
    """Scenes of many photos each: what differs within one is little of all there is."""
    rng = np.random.default_rng(0)
    scenes = unit(rng.normal(size=(30, WIDE)))[np.repeat(np.arange(30), 100)]
    vectors = unit(scenes + 0.2 * unit(rng.normal(size=scenes.shape)))
    few = Projection.of(vectors, Width().kept)
    assert few is not None and found_by(few, vectors.astype(np.float16), 26) < 0.9
    net = opened(tmp_path, vectors, Width(searching=128))
    assert net.numbers > few.axes.shape[1]
    found = net.near_all(vectors[::60], 26, 128)
    assert found is not None and shared(found, best(vectors, vectors[::60])) >= 0.95
    assert Width().wider().kept == 1


def test_a_few_pictures_of_another_kind_are_told_apart_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in 25, in directions of their own, that came last: among all of the squares theirs are hardly any."""
    rng, others = np.random.default_rng(0), COUNT // 25
    basis = np.linalg.qr(rng.normal(size=(WIDE, WIDE)))[0]
    vectors = np.zeros((COUNT, WIDE))
    vectors[:-others, :60] = rng.normal(size=(COUNT - others, 60))
    vectors[-others:, 100:180] = rng.normal(size=(others, 80))
    vectors = unit(unit(vectors @ basis) + 0.05 * unit(rng.normal(size=vectors.shape)))
    few = Projection.of(vectors, Width().kept)
    assert few is not None
    monkeypatch.setattr("open_autoglm.search.projection.LEAST_KEPT", 1.0)  # as for any of them
    assert found_by(few, vectors.astype(np.float16), 26) >= 0.95
    monkeypatch.undo()
    assert found_by(few, vectors.astype(np.float16), 26) < 0.9
    net = opened(tmp_path, vectors, Width(searching=128))
    assert net.numbers > few.axes.shape[1]
    found = net.near_all(vectors[-others:], 26, 128)
    assert found is not None and shared(found, best(vectors, vectors[-others:])) >= 0.95


def test_what_is_tried_comes_in_runs_from_all_of_a_large_collection() -> None:
    assert spread(50_000).tolist() == list(range(50_000))
    rows = spread(1_000_001)
    assert len(rows) == 50_000 and rows[:1000].tolist() == list(range(1000)) and rows[-1] == 1_000_000
    assert (np.diff(rows) == 1).sum() == 49_950


def test_pictures_that_are_all_the_same_need_few_numbers() -> None:
    same = np.repeat(alike(3), 5000, axis=0).astype(np.float16)
    for vectors in (same[:5000], same):
        projection = projected(vectors, as_floats(vectors), Width().kept, 58)
        assert projection is not None and projection.axes.shape[1] == WIDE // 4


@pytest.mark.parametrize("k", [10, 100, 500])
def test_more_is_looked_at_where_more_is_asked_for(tmp_path: Path, k: int) -> None:
    vectors, queries = alike(2 * COUNT), alike(30, seed=2, aside=3.0)
    net = opened(tmp_path, vectors, Width(kept=0.5))
    named = wanted(k, 128)
    found = net.near_all(queries, named, max(named, 128))
    assert found is not None
    right = np.argsort(-(queries @ vectors.T), axis=1)[:, :k]
    shares = [len(set(one) & set(other)) / k for one, other in zip(found.tolist(), right.tolist(), strict=True)]
    assert np.mean(shares) >= 0.95
