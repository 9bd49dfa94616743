"""A large index is searched with a graph: what it finds, with and without filters, and after every kind of change."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
from graph_parts import VectorModel, best_of, fill, made, recall, some_vectors
from graph_parts import small_graphs as small_graphs
from index_parts import DIMENSION, environment

from open_autoglm.errors import SettingError
from open_autoglm.search import Index, frozen
from open_autoglm.search.comparing import by_picture
from open_autoglm.search.graph import Graph, GraphBuilder, Width
from open_autoglm.search.halves import as_floats
from open_autoglm.search.rows import Content, FileState

pytestmark = pytest.mark.usefixtures("small_graphs")
PICTURES = 2000


@pytest.fixture(scope="module", params=[1, 3])
def views(request: pytest.FixtureRequest) -> int:
    """Vectors a picture."""
    return int(request.param)


def test_a_graph_finds_what_comparing_all_finds(tmp_path: Path, views: int) -> None:
    model, vectors = VectorModel(views), some_vectors(PICTURES, views)
    index, ids = made(tmp_path, model, vectors)
    assert recall(index, model, vectors, ids) >= 0.97
    assert index.check().graph == PICTURES
    for number in (0, 1):
        hits = index.search(str(number), cut=False)
        views_of = vectors[[ids.index(hit.id) for hit in hits]].astype(np.float32)
        exact = (views_of @ model.queries[number]).max(axis=1)
        assert [hit.score for hit in hits] == pytest.approx(exact.tolist(), abs=1e-6)
        assert sorted(exact, reverse=True) == exact.tolist()


def test_like_compares_wholes_with_the_graph_of_wholes(tmp_path: Path, views: int) -> None:
    vectors = some_vectors(PICTURES, views)
    index, ids = made(tmp_path, VectorModel(views), vectors)
    found = wanted = 0
    for row in range(0, PICTURES, 100):
        query = vectors[row, 0].astype(np.float32)
        best = [id for id in best_of(query, vectors[:, :1], ids, 11) if id != ids[row]][:10]
        hits = [hit.id for hit in index.search(like=ids[row])]
        assert ids[row] not in hits
        found, wanted = found + len(set(best) & set(hits)), wanted + 10
    assert found / wanted >= 0.97


def test_vectors_are_looked_for_with_the_graph_of_wholes(tmp_path: Path, views: int) -> None:
    vectors = some_vectors(PICTURES, views)
    index, ids = made(tmp_path, VectorModel(views), vectors)
    queries = vectors[::100, 0].astype(np.float32)
    found, cosines = index.nearest(queries)
    wanted = [best_of(query, vectors[:, :1], ids) for query in queries]
    shares = [len(set(one) & set(other)) / 10 for one, other in zip(found.tolist(), wanted, strict=True)]
    assert np.mean(shares) >= 0.97
    assert cosines[:, 0] == pytest.approx(1, abs=1e-3) and (np.diff(cosines) <= 0).all()
    few, _ = index.nearest(queries, where="number < 12")
    assert set(few.ravel().tolist()) <= set(ids[:12])
    newer = fill(index, vectors[:300:100], start=PICTURES)
    more, higher = index.nearest(queries[:3])
    assert more[:, :2].tolist() == [[older, new] for older, new in zip(ids[:300:100], newer, strict=True)]
    assert higher[:, 2:].tolist() == cosines[:3, 1:-1].tolist()


def test_halves_become_the_same_floats() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 2, 16)
    assert np.array_equal(as_floats(finite).view(np.uint32), finite.astype(np.float32).view(np.uint32))
    assert as_floats(finite[::3, 1]).tolist() == finite[::3, 1].tolist()


def test_nodes_are_numbered_anew_and_stay_the_same_ones() -> None:
    vectors = some_vectors(3000)[:, 0]
    graphs, orders = list[Graph](), list[np.ndarray]()
    for settled in (False, True):
        builder, pieces = GraphBuilder(DIMENSION, Width(), float(np.abs(vectors).max()), 1), list[bytes]()
        builder.add(vectors)
        orders.append(builder.settle() if settled else np.arange(len(vectors)))
        builder.write(pieces.append)
        graphs.append(Graph(np.frombuffer(b"".join(pieces), np.uint8)))
    assert sorted(orders[1]) == list(range(len(vectors)))
    steps = [np.linalg.norm(np.diff(vectors[order], axis=0), axis=1).mean() for order in orders]
    assert steps[1] < steps[0], "neighbours are no nearer than they were"
    for vector in vectors[::100]:
        plain, settled = (order[graph.near(vector, 10, 64)] for graph, order in zip(graphs, orders, strict=True))
        assert plain.tolist() == settled.tolist()


def test_a_query_may_reach_farther_than_the_numbers_of_any_picture(tmp_path: Path) -> None:
    """The graph keeps whole numbers: a query of one large number must not be cut to their range."""
    vectors = some_vectors(PICTURES)
    index, ids = made(tmp_path, VectorModel(), vectors)
    queries = np.eye(DIMENSION, dtype=np.float32)
    assert np.abs(vectors).max() < 0.95
    found, _ = index.nearest(queries)
    shares = [
        len(set(one) & set(best_of(query, vectors, ids))) / 10
        for one, query in zip(found.tolist(), queries, strict=True)
    ]
    assert np.mean(shares) >= 0.9


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("cost", [0, 40])
def test_a_filter_never_loses_recall(
    tmp_path: Path, views: int, share: float, cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "GRAPH_COST", cost)
    model, vectors = VectorModel(views), some_vectors(PICTURES, views)
    index, ids = made(tmp_path, model, vectors)
    kept = round(share * PICTURES)
    assert recall(index, model, vectors[:kept], ids[:kept], f"number < {kept}") >= 0.97


def test_a_few_wholes_are_read_without_those_of_all(tmp_path: Path) -> None:
    index, _ = made(tmp_path, VectorModel(3), some_vectors(PICTURES, 3))
    graphed = index._pictures.frozen
    assert graphed is not None
    tracemalloc.start()
    graphed._compared(by_picture(np.zeros(DIMENSION, np.float32)), np.arange(10))
    assert tracemalloc.get_traced_memory()[1] < PICTURES * DIMENSION
    tracemalloc.stop()


def test_a_graph_that_is_left_goes_at_once_and_its_file_with_it(tmp_path: Path) -> None:
    index, _ = made(tmp_path, VectorModel(), some_vectors(PICTURES))
    index.search("0")
    index.nearest(VectorModel().queries)
    assert index._pictures.frozen is not None
    left = weakref.ref(index._pictures.frozen._wholes._graph)
    gc.disable()
    try:
        index._pictures.adopt(None)
        assert left() is None
    finally:
        gc.enable()


def test_a_filter_makes_the_graph_look_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_autoglm.search.index.LIKELY", 1)
    model, vectors = VectorModel(), some_vectors(PICTURES)
    _, ids = made(tmp_path, model, vectors)
    index = Index.open(tmp_path / "vectors.index", model, effort=1)  # type: ignore[arg-type]
    kept = PICTURES // 6
    assert recall(index, model, vectors[:kept], ids[:kept], f"number < {kept}") >= 0.97


def test_a_filter_against_the_query_still_fills_the_page(tmp_path: Path, views: int) -> None:
    model, vectors = VectorModel(views), some_vectors(PICTURES, views)
    index, ids = made(tmp_path, model, vectors)
    far = list(reversed(best_of(model.queries[0], vectors, ids, PICTURES)))[:60]
    hits = index.search("0", cut=False, where=f"id in ({', '.join(map(str, far))})")
    assert [hit.id for hit in hits] == far[:-11:-1]


def test_added_changed_and_deleted_pictures_show_at_once(tmp_path: Path, views: int) -> None:
    model, vectors = VectorModel(views), some_vectors(PICTURES, views)
    index, ids = made(tmp_path, model, vectors)
    other = Index.open(tmp_path / "vectors.index", model)  # type: ignore[arg-type]
    first = index.search("0", cut=False)
    index.delete([hit.id for hit in first])
    assert {hit.id for hit in first}.isdisjoint(hit.id for hit in other.search("0", cut=False))
    query = np.repeat(model.queries[:1, None], views, axis=1).astype(np.float16)
    (added,) = fill(index, query, start=PICTURES)
    assert other.search("0", cut=False)[0].id == added
    changed = other.search("1", cut=False)[0].id
    with index._store.transaction():
        state = FileState(f"/nowhere/{ids.index(changed)}.png".encode(), 2, 2)
        index._store.replace(changed, state, Content(bytes(32), 9, 9, query[0].tobytes()))
    assert {hit.id for hit in other.search("0", k=2, cut=False)} == {added, changed}
    assert changed not in {hit.id for hit in other.search("1", cut=False)}
    health = other.check()
    assert (health.graph, health.newer, health.gone) == (PICTURES, 2, 11)
    assert other.search(like=changed, k=1)[0].id == added


def test_after_deleting_and_adding_again_a_third_nothing_is_lost(tmp_path: Path, views: int) -> None:
    model, vectors = VectorModel(views), some_vectors(PICTURES, views)
    index, ids = made(tmp_path, model, vectors)
    third = PICTURES // 3
    index.delete(ids[:third])
    again = fill(index, vectors[:third], start=0)
    now = [*again, *ids[third:]]
    assert recall(index, model, vectors, now) >= 0.97
    assert recall(index, model, vectors[: 2 * third], now[: 2 * third], f"number < {2 * third}") >= 0.97
    assert index.optimize()
    assert (index.check().gone, index.check().newer) == (0, 0)
    assert recall(index, model, vectors, now) >= 0.97


def test_many_equal_pictures_do_not_hide_the_others(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    vectors[500:1500] = vectors[500]
    index, ids = made(tmp_path, model, vectors)
    assert recall(index, model, vectors, ids) >= 0.97
    assert [hit.id for hit in index.search(like=ids[900], k=12)] == ids[500:512]


def test_k_may_be_large_and_everything_deleted(tmp_path: Path, views: int) -> None:
    model = VectorModel(views)
    index, ids = made(tmp_path, model, some_vectors(PICTURES, views))
    for k in (300, 5000):
        found = [hit.id for hit in index.search("0", k=k, cut=False)]
        assert len(found) == len(set(found)) == min(k, PICTURES)
    index.delete(ids[3:])
    assert {hit.id for hit in index.search("0", cut=False)} == set(ids[:3])
    index.delete(ids)
    assert index.search("0", cut=False) == []


def test_the_cut_leaves_out_what_does_not_match(tmp_path: Path) -> None:
    model = VectorModel()
    vectors = some_vectors(PICTURES)
    vectors[7] = model.queries[0]
    index, ids = made(tmp_path, model, vectors)
    scores = {hit.id: hit.score for hit in index.search("0", k=50, cut=False)}
    assert [hit.id for hit in index.search("0", k=50)] == [id for id, score in scores.items() if score >= 0.5]
    assert index.search("0")[0].id == ids[7]


def test_a_small_index_has_no_graph_and_needs_none(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(400)
    index = Index.create(tmp_path / "vectors.index", model)  # type: ignore[arg-type]
    ids = fill(index, vectors)
    assert not index.optimize()
    assert recall(index, model, vectors, ids) == 1
    assert (index.check().graph, index.check().due) == (0, "")


def test_effort_is_a_positive_number_and_wider_finds_more(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    made(tmp_path, model, vectors)[0].close()
    for effort in (0, -1, "3", 2.5, True):
        with pytest.raises(SettingError, match="effort"):
            Index.open(tmp_path / "vectors.index", model, effort=effort)  # type: ignore[arg-type]
    with Index.open(tmp_path / "vectors.index", model, effort=1500) as index:  # type: ignore[arg-type]
        assert index.check().effort == 1500
        assert index.check().recall_now == 1


def test_threads_search_while_pictures_come_and_graphs_are_made(tmp_path: Path) -> None:
    model, vectors = VectorModel(), some_vectors(PICTURES)
    index, _ = made(tmp_path, model, vectors)
    failed: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set():
                assert len(index.search("0", cut=False)) == 10
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(3):
        fill(index, some_vectors(450, seed=turn + 5), start=PICTURES + 450 * turn)
        assert index.optimize()
    done.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert index.check().graph == PICTURES + 3 * 450


def test_faiss_is_loaded_by_nobody_who_does_not_need_it(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from graph_parts import *; from pathlib import Path\n"
        "index = Index.create(Path(sys.argv[1]) / 'few.index', VectorModel())\n"
        "ids = fill(index, some_vectors(20)); assert len(index.search('0', cut=False)) == 10\n"
        "assert 'faiss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment(), check=True)
