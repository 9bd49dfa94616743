"""A bundle measured on real files: through the package and through ``autoglm evaluate``."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import open_autoglm
from open_autoglm.cli import app
from open_autoglm.data import DataSettings, open_source
from open_autoglm.errors import DataError, SettingError
from open_autoglm.evaluation import evaluate as measuring
from open_autoglm.evaluation.evaluate import EvaluationSettings, evaluate
from open_autoglm.evaluation.material import class_texts, has_captions
from open_autoglm.runtime.calibration import Match
from open_autoglm.runtime.similarity import cosine

SAMPLES = Path(__file__).parent.parent / "samples"
SHOWN = {"banana": "a bunch of yellow bananas", "cucumber": "a long green cucumber", "leek": "leeks", "lemon": "lemons"}


@pytest.fixture(scope="module")
def model() -> open_autoglm.Model:
    return open_autoglm.load()


def table(folder: Path, header: list[str], rows: list[list[str]]) -> str:
    path = folder / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def photo(name: str) -> str:
    with (SAMPLES / "samples.csv").open(encoding="utf-8") as file:
        return str(SAMPLES / next(row["path"] for row in csv.DictReader(file) if row["label"] == name))


def captioned(folder: Path, *more: list[str]) -> str:
    rows = [[photo(name), text] for name, text in SHOWN.items()]
    return table(folder, ["image", "caption"], [*rows, [photo("banana"), "bananas"], *more])


def classed(folder: Path) -> str:
    return table(folder, ["image", "label"], [[photo(name), name] for name in SHOWN])


def test_captions_are_searched_both_ways(model: open_autoglm.Model, tmp_path: Path) -> None:
    records = open_source(DataSettings(captioned(tmp_path)))
    found = evaluate(model, records, EvaluationSettings(examples=2))
    pictures = model.embed_images([record.picture for record in records])
    texts = [caption for record in records for caption in record.captions]
    owners = [row for row, record in enumerate(records) for _ in record.captions]
    best = cosine(model.embed_texts(texts), pictures).argmax(axis=1)
    figures = found.figures()
    assert figures["text_to_image_r1"] == pytest.approx(np.mean(best == owners))
    assert figures["image_to_text_r10"] == 1.0
    assert (found.pictures, found.texts, found.zero_shot) == (4, 5, None)
    assert len(found.text_examples) == 2
    assert found.text_examples[0].answers[0].thumbnail.startswith(b"\xff\xd8")
    document = json.loads(json.dumps(found.as_dict(pictures=True)))
    assert document["picture_examples"][0]["query"]["thumbnail"].startswith("data:image/jpeg;base64,")
    assert document["figures"] == figures
    assert "data:image" not in json.dumps(found.as_dict())


def test_pictures_that_share_a_caption_answer_each_others_texts(model: open_autoglm.Model, tmp_path: Path) -> None:
    data = captioned(tmp_path, [photo("lime"), "lemons"], [photo("lime"), "green limes"])
    found = evaluate(model, open_source(DataSettings(data)))
    assert found.text_to_image is not None
    assert found.texts == 6  # a text once, however many pictures it has


def test_classes_are_told_apart_with_the_probabilities_of_classify(
    model: open_autoglm.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        measuring, "probability_figures", lambda evidence, *rest: seen.append(evidence) or original(evidence, *rest)
    )
    records = open_source(DataSettings(classed(tmp_path)))
    found = evaluate(model, records)
    assert found.image_to_text is None  # captions made from class names are no captions
    assert found.zero_shot is not None
    assert found.zero_shot.texts["leek"] == ("a photo of a leek",)
    for record, evidence in zip(records, seen[0], strict=True):
        chances = model.classify(record.picture, records.classes)
        weights = np.exp(np.append(evidence, 0.0))
        assert [chances[name] for name in records.classes] == pytest.approx((weights / weights.sum())[:-1], abs=1e-4)
    right = [max(records.classes, key=model.classify(one.picture, records.classes).get) == one.label for one in records]
    assert found.figures()["zero_shot_top_1"] == pytest.approx(np.mean(right))


original = measuring.probability_figures


def test_best_views_and_euclidean_distance_are_compared(model: open_autoglm.Model, tmp_path: Path) -> None:
    records = open_source(DataSettings(classed(tmp_path)))
    whole = evaluate(model, records).figures()
    distance = evaluate(model, records, EvaluationSettings(similarity="euclidean")).figures()
    assert {key: value for key, value in whole.items() if key != "calibration_error"} == pytest.approx(distance)
    for untrained in ("bilinear", "region_word"):
        with pytest.raises(SettingError, match="trained"):
            evaluate(model, records, EvaluationSettings(similarity=untrained))
    views = evaluate(model, records, EvaluationSettings(views=Match.BEST_VIEW, examples=4))
    pixels = np.stack([model.prepare(record.picture) for record in records])
    queries = model.embed_texts([f"a photo of a {name}" for name in records.classes])
    expected = cosine(queries, model.embed_prepared(pixels)).max(axis=2)
    scores = [answer.score for example in views.text_examples for answer in example.answers]
    assert scores == pytest.approx(-np.sort(-expected, axis=1).ravel(), abs=1e-5)


def test_the_data_s_own_class_texts_are_asked_for(model: open_autoglm.Model, tmp_path: Path) -> None:
    rows = [[photo("lime"), "lime", "fruit"], [photo("lemon"), "lemon", "fruit"], [photo("leek"), "leek", "vegetable"]]
    rows.append([photo("banana"), "lemon", "fruit"])
    data = table(tmp_path, ["image", "label", "kind"], rows)
    records = open_source(DataSettings(data, templates=("{}, {kind}",)))
    assert not has_captions(records)
    assert class_texts(records, (), "a {}") == [("leek, vegetable",), ("lemon, fruit",), ("lime, fruit",)]
    assert class_texts(records, ("x {}", "y {}"), "a {}")[0] == ("x leek", "y leek")
    with pytest.raises(SettingError, match="column"):
        class_texts(records, ("{kind}",), "a {}")


def test_what_cannot_be_used_is_named_and_the_rest_measured(model: open_autoglm.Model, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(photo("lime")).read_bytes()[:3000])
    data = captioned(tmp_path, [str(tmp_path / "gone.jpg"), "gone"], [str(broken), "cut short"], [photo("lime"), "☃☃☃"])
    settings = DataSettings(data, max_bad_share=0.5, check="header")
    found = evaluate(model, open_source(settings))
    reasons = {problem.where.rpartition(" ")[2]: problem.reason for problem in found.problems}
    assert len(reasons) == 3
    assert any("no such file" in reason for reason in reasons.values())
    assert any("damaged" in reason for reason in reasons.values())
    assert any("no word" in reason for reason in reasons.values())
    assert found.pictures == 5
    records = open_source(DataSettings(captioned(tmp_path), check="header"))
    gone = records.select([])
    with pytest.raises(DataError):
        evaluate(model, gone)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"similarity": "nearest"}, {"views": "some"}, {"ks": (0,)}):
        with pytest.raises(SettingError):
            EvaluationSettings(**wrong)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        app(["evaluate", *arguments], prog_name="autoglm")
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_the_command_prints_figures_with_intervals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "open-autoglm-base", captioned(tmp_path))
    assert code == 0
    assert "text to picture, R@1" in out
    assert " to " in out
    code, out, err = run(
        capsys, "open-autoglm-base", classed(tmp_path), "--template", "{}", "--template", "a {}", "--json"
    )
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["zero_shot"]["texts"]["leek"] == ["leek", "a leek"]
    assert document["zero_shot"]["classification"]["top_1"]["low"] >= 0


def test_bad_input_ends_with_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = captioned(tmp_path)
    for arguments, word in (
        (("no-such-bundle", good), "no-such-bundle"),
        (("open-autoglm-base", str(tmp_path / "gone.csv")), "gone.csv"),
        (("open-autoglm-base", good, "--captions", "title"), "title"),
        (("open-autoglm-base", good, "--similarity", "nearest"), "nearest"),
        (("open-autoglm-base", classed(tmp_path), "--template", "no place for the class"), "template"),
        (("open-autoglm-base", good, "--similarity", "bilinear"), "matrix"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "")
        assert word in err
        assert err.count("\n") == 1
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "autoglm evaluate open-autoglm-base photos.csv" in out


def test_without_torch_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['torch'] = None; from open_autoglm.cli import main; main()"
    command = [sys.executable, "-c", program, "evaluate", "open-autoglm-base", captioned(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("Evaluation needs more packages") and "-e '.[train]'" in ended.stderr
