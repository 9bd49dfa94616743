"""The index with the shipped bundle: from a folder of files to what is found in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_parts import names, paint, paint_many

import open_autoglm
from open_autoglm.errors import TextError


def test_the_shipped_bundle_indexes_and_searches(tmp_path: Path) -> None:
    for colour in ("red", "green", "blue"):
        paint(tmp_path / "photos" / f"{colour}.png", colour, size=(400, 300))
    paint_many(tmp_path / "photos", 2)
    model = open_autoglm.load("open-autoglm-base")
    with open_autoglm.Index.create(tmp_path / "photos.index", model) as index:
        assert index.add(tmp_path / "photos").added == 5
        assert (index.info()["views"], index.info()["dimension"]) == (model.views, 512)
    with open_autoglm.Index.open(tmp_path / "photos.index") as index:
        green = index.search(image=tmp_path / "photos/green.png", k=1)[0]
        assert (names([green]), green.score) == (["green.png"], pytest.approx(1, abs=1e-3))
        assert len(index.search("a photo of a lorry", cut=False)) == 5
        query = model.embed_texts(["a photo of a lorry"])
        best = model.embed_prepared(model.prepare(tmp_path / "photos/green.png")[None])[0] @ query[0]
        scores = {Path(hit.path).name: hit.score for hit in index.search("a photo of a lorry", cut=False)}
        assert scores["green.png"] == pytest.approx(best.max(), abs=1e-3)
        assert all(hit.score >= model.cutoff(query)[0] for hit in index.search("a photo of a lorry"))
        assert len(index.search("lorry " * 20_000, cut=False)) == 5
        with pytest.raises(TextError):
            index.search("")
