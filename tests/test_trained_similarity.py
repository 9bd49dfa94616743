"""A similarity from training to search: what the bundle carries, and that all of them compare as torch does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch_parts import one_thread as one_thread
from training_parts import COLOURS, THINGS, prepare_folder, recipe, tokenizer

import open_autoglm
from open_autoglm.bundle import Bundle, amend
from open_autoglm.compression import parity
from open_autoglm.compression.bundling import make_bundle, space_id
from open_autoglm.compression.int8_bundle import Checks, Int8Settings, quantise_bundle
from open_autoglm.errors import BundleError, SettingError
from open_autoglm.evaluation.evaluate import evaluate
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMImageProcessor, OpenAutoGLMProcessor
from open_autoglm.modeling.similarity import Features, Parts, RegionWord
from open_autoglm.runtime.calibration import NONE_OF_THESE
from open_autoglm.runtime.similarity import Cosine
from open_autoglm.search import Index
from open_autoglm.training.building import build_model
from open_autoglm.training.material import open_splits
from open_autoglm.training.recipe import Recipe
from open_autoglm.training.run import train

SIZE, GRID, PICTURES = 64, 2, 24  # the tower's map is 2 x 2 then: four regions
KINDS = ("cosine", "euclidean", "bilinear", "region_word")
QUERIES = ("a photo of a red apple", "blue", "a black chair", "a photo of a grey lamp of green", "cup book")


@dataclass(frozen=True)
class Trained:
    """What a training left: its recipe, its last figures, its bundle for both sides, and an index of its pictures."""

    kind: str
    recipe: Recipe
    figures: dict[str, float]
    bundle: Path
    runtime: open_autoglm.Model
    torch: OpenAutoGLM
    index: Index
    pictures: list[Path]

    @cached_property
    def views(self) -> torch.Tensor:
        """The pictures' vectors as torch makes them, rounded as an index stores them."""
        pixels = np.stack([self.runtime.prepare(path) for path in self.pictures])
        with torch.no_grad():
            found: torch.Tensor = self.torch.get_image_views(parity.normalised(pixels, self.runtime.preprocessing))
        return found.half().float()

    def sentence(self, text: str) -> Features:
        """One sentence as torch compares it."""
        with torch.no_grad():
            return self.torch.text_side(**tokenizer()([text], return_tensors="pt", return_token_type_ids=False))

    def scores(self, text: str, whole: bool = False) -> np.ndarray:
        """Every picture's score by torch: of its regions, or the best of its views."""
        views, sentence = self.views, self.sentence(text)
        with torch.no_grad():
            if self.kind == "region_word":
                found = self.torch.similarity(with_regions(views), sentence)
            else:
                wholes = (views[:, place] for place in range(1 if whole else views.shape[1]))
                found = torch.stack([self.torch.similarity(Features(one), sentence) for one in wholes]).amax(dim=0)
        return found[:, 0].numpy()


def with_regions(views: torch.Tensor) -> Features:
    regions = views[:, 1:]
    return Features(views[:, 0], Parts(regions, torch.ones(regions.shape[:2], dtype=torch.bool)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = prepare_folder(tmp_path_factory.mktemp("similarity"), PICTURES, region_grids=[[SIZE, GRID]])
    pictures = OpenAutoGLMImageProcessor(
        height=SIZE, width=SIZE, resize="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    OpenAutoGLMProcessor(pictures, tokenizer()).save_pretrained(made / "start")
    return made


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, folder: Path) -> Iterator[Trained]:
    kind = request.param
    changes = {"steps": 8, "learning_rate": 0.012}
    made = replace(
        recipe(folder, model={"similarity": kind}, optimisation=changes, data={"validation_share": 0.5}), name=kind
    )
    ended = train(made)
    assert ended.bundle is not None
    runtime = open_autoglm.load(ended.bundle)
    pictures = sorted((folder / "pictures").iterdir())
    with Index.create(folder / f"{kind}.index", runtime) as index:
        index.add(pictures)
        model = OpenAutoGLM.from_pretrained(ended.bundle).eval()
        yield Trained(kind, made, dict(ended.figures), ended.bundle, runtime, model, index, pictures)


def test_the_index_scores_and_ranks_as_torch_does(trained: Trained) -> None:
    as_cosine = []
    for text in QUERIES:
        expected = dict(zip(map(str, trained.pictures), trained.scores(text), strict=True))
        hits = trained.index.search(text, k=PICTURES, cut=False)
        assert {hit.path: hit.score for hit in hits} == pytest.approx(expected, abs=1e-4)
        in_order = [expected[hit.path] for hit in hits]
        assert all(one >= other - 1e-4 for one, other in pairwise(in_order))
        vector = trained.sentence(text).whole.numpy()[0]
        cosines = dict(zip(map(str, trained.pictures), (trained.views.numpy() @ vector).max(axis=1), strict=True))
        scores = [2 * cosines[hit.path] - 2 if trained.kind == "euclidean" else cosines[hit.path] for hit in hits]
        as_cosine += [abs(hit.score - score) < 1e-3 for hit, score in zip(hits, scores, strict=True)]
    assert all(as_cosine) == (trained.kind in ("cosine", "euclidean")), "what was trained decides the score"


def test_the_bundle_says_and_holds_what_was_trained(trained: Trained, tmp_path: Path) -> None:
    bundle = Bundle.open(trained.bundle)
    assert bundle.describe()["similarity"] == trained.kind
    assert bundle.verify() == []
    assert ("words" in bundle.graph("text").outputs) == (trained.kind == "region_word")
    assert ("words_lowest_cosine" in bundle.graph("text").parity) == (trained.kind == "region_word")
    if trained.kind == "bilinear":
        matrix = bundle.weights.float32(bundle.manifest.similarity["matrix"])
        assert not np.allclose(matrix, np.eye(len(matrix)), atol=1e-2)
        assert np.array_equal(matrix, trained.torch.similarity.matrix.detach().numpy())  # type: ignore[attr-defined]
    copy = shutil.copytree(trained.bundle, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    assert space_id(copy, bundle.manifest.preprocessing) == bundle.manifest.space
    (copy / "config.json").write_text(json.dumps(config | {"similarity": "another"}))
    assert space_id(copy, bundle.manifest.preprocessing) != bundle.manifest.space


def test_a_training_goes_on_from_what_was_trained(trained: Trained, tmp_path: Path) -> None:
    trained.torch.save_pretrained(tmp_path / "saved")
    again = OpenAutoGLM.from_pretrained(tmp_path / "saved")
    start = replace(trained.recipe.model, start=str(trained.bundle))
    going_on, _ = build_model(start)
    for model in (again, going_on):
        assert model.config.similarity == trained.kind
        for name, weight in trained.torch.similarity.named_parameters():
            assert torch.equal(dict(model.similarity.named_parameters())[name], weight)
    other, _ = build_model(replace(start, similarity="cosine" if trained.kind == "bilinear" else "bilinear"))
    for weight in other.similarity.parameters():
        assert torch.equal(weight, torch.eye(len(weight))), "bilinear starts as the cosine"
    with pytest.raises(SettingError, match=r"model\.similarity"):
        build_model(replace(start, config={"similarity": "cosine"}))


def test_evaluation_gives_the_figures_of_the_training(trained: Trained) -> None:
    records = open_splits(trained.recipe.data, trained.recipe.optimisation.seed).validation
    assert records is not None
    found = evaluate(trained.runtime, records)
    assert found.settings.similarity == trained.kind
    figures = found.figures()
    expected = {name: value for name, value in trained.figures.items() if name != "mean_recall"}
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_a_picture_is_compared_by_its_cosine_whatever_was_trained(trained: Trained) -> None:
    whole = F.normalize(trained.views[:, 0], dim=1).numpy()
    expected = dict(zip(map(str, trained.pictures), whole @ whole[0], strict=True))
    for hits in (
        trained.index.search(image=trained.pictures[0], k=PICTURES),
        trained.index.search(like=next(hit.id for hit in trained.index.search(image=trained.pictures[0])), k=PICTURES),
    ):
        assert all(hit.score == pytest.approx(expected[hit.path], abs=1e-3) for hit in hits)
        assert not any(hit.words for hit in hits)
    assert trained.index.search(image=trained.pictures[0])[0].path == str(trained.pictures[0])


def test_classify_compares_as_trained_and_uncalibrated_leaves_none_of_these_out(
    trained: Trained, tmp_path: Path
) -> None:
    bundle = shutil.copytree(trained.bundle, tmp_path / "bundle")
    amend(bundle, calibration={})
    labels = [f"{colour} {thing}" for colour in COLOURS[:2] for thing in THINGS[:2]]
    chances = open_autoglm.load(bundle).classify(trained.pictures[3], labels)
    scores = [trained.scores(f"a photo of a {label}", whole=True)[3] for label in labels]
    expected = torch.tensor(np.array(scores) * 100).softmax(dim=0).tolist()
    assert [chances[label] for label in labels] == pytest.approx(expected, abs=0.02)
    assert chances[NONE_OF_THESE] == 0


def test_a_hit_tells_which_region_matched_which_word(trained: Trained) -> None:
    text = "a photo of a red apple"
    hits = trained.index.search(text, k=PICTURES, cut=False)
    if trained.kind != "region_word":
        assert not any(hit.words for hit in hits)
        return
    images, sentence = with_regions(trained.views), trained.sentence(text)
    assert images.parts is not None and sentence.parts is not None
    best = RegionWord().best_regions(images, sentence)[:, 0].numpy()
    cosines = torch.einsum("nrd,wd->nwr", images.parts.vectors, sentence.parts.vectors[0]).amax(dim=2).numpy()
    for hit in hits:
        row = trained.pictures.index(Path(hit.path))
        assert [match.word for match in hit.words] == text.split()
        assert [match.region for match in hit.words] == best[row].tolist()
        assert [match.score for match in hit.words] == pytest.approx(cosines[row].tolist(), abs=1e-4)
        assert hit.score == pytest.approx(np.mean([match.score for match in hit.words]), abs=1e-4)
    assert len({match.region for hit in hits for match in hit.words}) > 1


def test_a_packed_bundle_compares_nearly_the_same_and_another_similarity_is_refused(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trained.kind not in ("bilinear", "region_word"):  # neither weights nor words
        return
    processor = OpenAutoGLMProcessor.from_pretrained(trained.bundle)
    small = make_bundle(trained.torch, processor, tmp_path / "small", "small", packed=True)
    checks = Checks(trained.pictures, trained.pictures, QUERIES)
    quantised = quantise_bundle(
        Bundle.open(small), tmp_path / "int8", checks, Int8Settings(tasks=("text",), least_speedup=0)
    )
    packed = open_autoglm.load(quantised.path, precision="int8")
    whole = trained.runtime.embed_prepared(np.stack([trained.runtime.prepare(path) for path in trained.pictures]))
    found = packed.similarity(packed.embed_queries(QUERIES), whole)
    assert np.allclose(found, trained.runtime.similarity(trained.runtime.embed_queries(QUERIES), whole), atol=0.1)
    monkeypatch.setattr(parity, "read_similarity", lambda bundle: Cosine())
    with pytest.raises(BundleError, match=f"{trained.kind} similarity"):
        parity.check_similarity(trained.torch, processor, Bundle.open(trained.bundle))
