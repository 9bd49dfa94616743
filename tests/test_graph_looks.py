"""More ways to look in an index with a graph: weighed texts and what is written find what comparing all finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from graph_parts import VectorModel, made, some_vectors
from graph_parts import small_graphs as small_graphs

from open_autoglm.search import Index


def agreement(index: Index, queries: list[Any], **given: Any) -> float:
    """The share of the ten best that the graph finds too."""
    found = wanted = 0
    with Index.open(index._store.path, index.model, effort=10**9) as exact:
        for query in queries:
            best = {hit.id for hit in exact.search(query, cut=False, **given)}
            found += len(best & {hit.id for hit in index.search(query, cut=False, **given)})
            wanted += len(best)
    return found / wanted


@pytest.mark.usefixtures("small_graphs")
def test_weighed_texts_are_found_with_a_graph(tmp_path: Path) -> None:
    index, _ = made(tmp_path, VectorModel(views=2), some_vectors(3000, views=2))
    pairs = [{str(number): 1.0, str(number + 1): weight} for number in range(40) for weight in (1.0, -0.5)]
    assert agreement(index, pairs) >= 0.95
    index.close()


@pytest.mark.usefixtures("small_graphs")
def test_words_are_found_that_no_vector_makes_likely(tmp_path: Path) -> None:
    model = VectorModel()
    index, ids = made(tmp_path, model, some_vectors(3000))
    ranked = [hit.id for hit in index.search("7", k=3000, cut=False)]
    far = ranked[-1]
    with index._store.transaction():
        index._store.set_metadata(far, {"number": -1, "caption": "7"})
    for where in (None, "number < 1500"):
        plain = {hit.id: hit.score for hit in index.search("7", k=3000, cut=False, where=where)}
        mixed = {hit.id: hit.score for hit in index.search("7", k=3000, cut=False, written=True, where=where)}
        assert mixed[far] > plain[far]
        assert far in {hit.id for hit in index.search("7", k=3000, written=True, where=where)}
    assert len(ids) == 3000
    index.close()
