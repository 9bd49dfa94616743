"""The model at run time: vectors, classification, and texts and pictures that cannot be used."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import open_autoglm
from open_autoglm.errors import ImageError, SettingError, TextError
from open_autoglm.runtime.calibration import NONE_OF_THESE
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.similarity import best_view, cosine

SAMPLES = Path(__file__).parent.parent / "samples"


@pytest.fixture(scope="module")
def model() -> Model:
    return open_autoglm.load()


@pytest.fixture(scope="module")
def pictures() -> list[Path]:
    return sorted(SAMPLES.glob("*/*.jpg"))[:20]


def test_vectors_are_unit_length_float32_in_one_space(model: Model, pictures: list[Path]) -> None:
    images, texts = model.embed_images(pictures), model.embed_texts(["a banana", "a shirt"])
    for vectors, count in ((images, len(pictures)), (texts, 2)):
        assert vectors.shape == (count, 512)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_words_find_their_picture(model: Model) -> None:
    words = {"a lemon": "lemon", "bananas": "banana", "a pair of jeans": "pants-1", "shoes": "shoes-2"}
    files = [next(path for path in sorted(SAMPLES.glob("*/*.jpg")) if name in path.stem) for name in words.values()]
    views = model.embed_prepared(np.stack([model.prepare(file) for file in files]))
    scores = best_view(cosine(model.embed_texts(list(words)), views))
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_a_batch_gives_what_single_calls_give(model: Model, pictures: list[Path]) -> None:
    together = model.embed_images(pictures)
    alone = np.concatenate([model.embed_images([picture]) for picture in pictures])
    assert np.allclose(together, alone, atol=1e-4)
    texts = ["dog", "a long sentence about two dogs that run along a beach in the evening", "red apple"]
    fp32 = open_autoglm.load(precision="fp32")
    singles = np.concatenate([fp32.embed_texts([text]) for text in texts])
    assert np.allclose(fp32.embed_texts(texts), singles, atol=1e-4)


def test_nothing_in_nothing_out(model: Model) -> None:
    assert model.embed_images([]).shape == (0, 512)
    assert model.embed_texts([]).shape == (0, 512)


def test_every_kind_of_picture_source_gives_the_same_vector(model: Model, pictures: list[Path]) -> None:
    path = pictures[0]
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    vectors = model.embed_images([path, str(path), path.read_bytes(), picture, np.asarray(picture)])
    assert (vectors @ vectors[0] > 0.999).all()


def test_several_threads_share_a_model(pictures: list[Path]) -> None:
    fresh = open_autoglm.load()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: fresh.embed_images(pictures[:2]), range(4)))
    assert all(np.allclose(result, results[0], atol=1e-5) for result in results)


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_text_is_refused(model: Model, text: str) -> None:
    with pytest.raises(TextError, match="empty"):
        model.embed_texts(["fine", text])


def test_a_text_of_unknown_signs_only_is_refused(model: Model) -> None:
    with pytest.raises(TextError, match="no word that this model knows"):
        model.embed_texts(["🦑🦑"])


def test_other_scripts_and_strange_signs_give_a_vector(model: Model) -> None:
    vectors = model.embed_texts(["собака", "りんご", "a dog \udcff", "a dog 🐕", "dog\0cat"])
    assert np.isfinite(vectors).all()


def test_a_very_long_text_is_cut_not_refused(model: Model) -> None:
    words = "a dog on a beach " * 6000
    long, cut = model.embed_texts([words, words[:3000]])
    assert long @ cut > 0.999


def test_a_picture_that_cannot_be_used_is_named(model: Model, tmp_path: Path, pictures: list[Path]) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(pictures[0].read_bytes()[:500])
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        model.embed_images([pictures[0], broken])


def test_classify_gives_probabilities_best_first_with_none_of_these(model: Model) -> None:
    lemon = next(SAMPLES.glob("grocery/*lemon*.jpg"))
    chances = model.classify(lemon, ["lemon", "shoe", "dog"])
    assert next(iter(chances)) == "lemon"
    assert set(chances) == {"lemon", "shoe", "dog", NONE_OF_THESE}
    assert sum(chances.values()) == pytest.approx(1)
    assert list(chances.values()) == sorted(chances.values(), reverse=True)
    absent = model.classify(lemon, ["fire engine", "laptop", "dog"])
    assert next(iter(absent)) == NONE_OF_THESE


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        ([], "at least one label"),
        ("dog", "list of labels"),
        (["dog", "cat", " Dog"], "given twice"),
        (["dog", "None of these"], "always among the answers"),
        (["dog", ""], "empty"),
        (["dog", "🐶"], "no word"),
    ],
)
def test_labels_that_cannot_be_chosen_from_are_refused(model: Model, labels: object, error: str) -> None:
    with pytest.raises((SettingError, TextError), match=error):
        model.classify(SAMPLES / "grocery" / "lemon.jpg", labels)


def test_a_single_thing_where_a_list_belongs_is_refused(model: Model) -> None:
    path = SAMPLES / "grocery" / "lemon.jpg"
    for call in (
        lambda: model.embed_texts("dog"),
        lambda: model.embed_images(path),
        lambda: model.embed_images(str(path)),
        lambda: model.embed_texts(None),
    ):
        with pytest.raises(SettingError, match="list of"):
            call()


def test_whatever_can_be_gone_through_is_a_list(model: Model) -> None:
    assert model.embed_texts(text for text in ("dog", "cat")).shape == (2, 512)
    assert model.embed_images(sorted(SAMPLES.glob("clothing/hat-*.jpg"))[:1].__iter__()).shape == (1, 512)
    assert len(model.classify(SAMPLES / "grocery" / "lemon.jpg", np.array(["lemon", "dog"]))) == 3


@pytest.mark.parametrize("settings", [{"threads": 0}, {"threads": "2"}, {"threads": True}, {"precision": "fp16"}])
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        open_autoglm.load(**settings)


def test_batches_of_no_size_are_refused(model: Model) -> None:
    for size in (0, -1, 2.5):
        with pytest.raises(SettingError, match="batch_size"):
            model.embed_texts(["dog"], batch_size=size)


def test_the_cut_lets_through_a_stated_share_of_what_does_not_match(model: Model) -> None:
    clothes = sorted(SAMPLES.glob("clothing/*.jpg"))
    views = model.embed_prepared(np.stack([model.prepare(path) for path in clothes]))
    absent = ["a locomotive", "a violin", "a sailing boat", "a castle", "an elephant", "a bridge", "a lemon", "a cup"]
    there = ["jeans", "a hat", "shoes", "a pair of shorts"]
    for words, low, high in ((absent, 0.0, 0.10), (there, 0.05, 0.6)):
        queries = model.embed_texts(words)
        share = (best_view(cosine(queries, views)) >= model.cutoff(queries)[:, None]).mean()
        assert low <= share <= high


def test_cutoff_separates_what_is_there_from_what_is_not(model: Model) -> None:
    lemon = model.embed_prepared(model.prepare(SAMPLES / "grocery" / "lemon.jpg")[None])
    queries = model.embed_texts(["a lemon", "a photo of a lemon", "a locomotive", "a photo of a locomotive"])
    above = best_view(cosine(queries, lemon))[:, 0] >= model.cutoff(queries)
    assert above.tolist() == [True, True, False, False]


def test_the_runtime_never_imports_torch() -> None:
    code = (
        "import sys, open_autoglm, open_autoglm.search;"
        "open_autoglm.load().embed_texts(['a dog']);"
        "sys.exit(bool({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
