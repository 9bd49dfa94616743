"""Questions about a picture: how they are read, and what alignment alone answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import open_autoglm
from open_autoglm.bundle import Bundle, read_manifest, seal
from open_autoglm.errors import BundleError, ImageError, SettingError, TextError
from open_autoglm.runtime.asking import LEAST_SURE, place
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.questions import Kind, Question, Statement, read_question, read_statement, sentence

SAMPLES = Path(__file__).parent.parent / "samples"
BANANA = SAMPLES / "grocery" / "banana.jpg"


@pytest.fixture(scope="module")
def model() -> Model:
    return open_autoglm.load()


@pytest.mark.parametrize(
    ("question", "kind", "subject"),
    [
        ("Is there a dog?", Kind.PRESENCE, "a dog"),
        ("are there any dogs in the picture?", Kind.PRESENCE, "any dogs"),
        ("Can you see a fire engine here?", Kind.PRESENCE, "a fire engine"),
        ("Does this photo show a tennis racket", Kind.PRESENCE, "a tennis racket"),
        ("Is this a picture of a cat?", Kind.PRESENCE, "a cat"),
        ("Is it a lemon?", Kind.PRESENCE, "a lemon"),
        ("There is a dog in the photo.", Kind.PRESENCE, "a dog"),
        ("is a bicycle in the picture?", Kind.PRESENCE, "a bicycle"),
        ("is there an orange?", Kind.PRESENCE, "an orange"),
        ("What is this?", Kind.NAME, ""),
        ("what's in the picture?", Kind.NAME, ""),
        ("What do you see here?", Kind.NAME, ""),
        ("Where is the bicycle?", Kind.PLACE, "bicycle"),
        ("where are the wine glasses in this image ?", Kind.PLACE, "wine glasses"),
        ("How many dogs are there in the picture?", Kind.COUNT, "dogs"),
        ("how many people do you see", Kind.COUNT, "people"),
        ("What colour is the car?", Kind.OTHER, ""),
        ("Is there a red car?", Kind.OTHER, ""),
        ("Is there a dog next to the chair?", Kind.OTHER, ""),
        ("Is there no dog?", Kind.OTHER, ""),
        ("Are there two dogs?", Kind.OTHER, ""),
        ("Why is the man laughing?", Kind.OTHER, ""),
        ("What does the sign say?", Kind.OTHER, ""),
        ("Isn't it lovely", Kind.OTHER, ""),
    ],
)
def test_questions_are_read(question: str, kind: Kind, subject: str) -> None:
    assert read_question(question) == Question(kind, subject)


def test_a_known_name_may_hold_any_word() -> None:
    assert read_question("Is there red wine?", {"red wine"}) == Question(Kind.PRESENCE, "red wine")


def test_statements_are_read_and_denials_noticed() -> None:
    assert read_statement("There is a dog.") == Statement("There is a dog", "a dog")
    assert read_statement("the photo shows dogs") == Statement("the photo shows dogs", "dogs")
    assert read_statement("there is no umbrella") == Statement("there is no umbrella", "umbrella", denied=True)
    assert read_statement("children play on the beach") == Statement("children play on the beach")


@pytest.mark.parametrize(("subject", "worded"), [("the bus", "a bus"), ("apple", "an apple"), ("glass", "a glass")])
def test_things_get_their_article(subject: str, worded: str) -> None:
    assert sentence(subject) == f"there is {worded} in the picture"
    assert sentence("any dogs") == "there are dogs in the picture"


@pytest.mark.parametrize("question", ["", "  \n", "???", "is there " + "a very " * 200 + "small dog?"])
def test_an_empty_or_endless_question_is_refused(model: Model, question: str) -> None:
    for ask in (model.ask, model.verify):
        with pytest.raises(TextError):
            ask(BANANA, question)


def test_what_is_there_is_told_from_what_is_not(model: Model) -> None:
    assert model.ask(BANANA, "Is there a banana?").text == "yes"
    assert len(model.ask(BANANA, "Is there a banana?").regions.boxes)
    absent = model.ask(BANANA, "Is there a fire engine?")
    assert (absent.text, len(absent.regions.boxes)) == ("no", 0)
    assert absent.confidence >= LEAST_SURE


def test_verify_gives_probabilities_and_denials_the_rest(model: Model) -> None:
    true, false = model.verify(BANANA, "there is a banana"), model.verify(BANANA, "there is a fire engine")
    assert 0 < false < 0.5 < true < 1
    assert model.verify(BANANA, "there is no banana") == pytest.approx(1 - true)


def test_a_thing_is_named_and_found(model: Model) -> None:
    answer = model.ask(SAMPLES / "grocery" / "pineapple.jpg", "What is this?")
    assert answer.text == "pineapple"
    assert len(answer.regions.boxes)


def test_choices_are_answered_by_one_of_them_or_by_none(model: Model) -> None:
    assert model.ask(BANANA, "what is this?", ["banana", "laptop"]).text == "banana"
    assert model.ask(BANANA, "what is this?", ["fire engine", "laptop"]).text is None
    with pytest.raises(SettingError, match="at least one label"):
        model.ask(BANANA, "what is this?", [])


def test_a_trained_bundle_answers_with_its_own_names() -> None:
    model = open_autoglm.load("open-autoglm-grocery")
    assert model.ask(BANANA, "what is this?").text == "Banana"
    assert model.ask(BANANA, "is there a banana?").text == "yes"
    assert model.ask(BANANA, "is there an oat milk?").text == "no"


def test_a_place_is_said_in_words(model: Model) -> None:
    answer = model.ask(BANANA, "where is the banana?")
    assert answer.text is not None and answer.confidence >= LEAST_SURE
    assert model.ask(BANANA, "where is the fire engine?").text == "not in the picture"


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([0, 0, 20, 20], "in the upper left"),
        ([45, 45, 55, 55], "in the middle"),
        ([80, 30, 99, 60], "on the right"),
        ([40, 80, 60, 100], "at the bottom"),
        ([0, 0, 100, 90], "all over the picture"),
    ],
)
def test_places_have_names(box: list[int], words: str) -> None:
    assert place(np.array(box), 100, 100) == words


@pytest.mark.parametrize("question", ["why?", "what colour is it?", "is the banana left of the apple?"])
def test_what_it_cannot_know_it_does_not_tell(model: Model, question: str) -> None:
    answer = model.ask(BANANA, question)
    assert (answer.text, answer.confidence) == (None, 0.0)
    assert "It can tell what is there" in answer.reason


def test_a_number_is_told_only_of_what_is_not_there(model: Model) -> None:
    several, none = model.ask(BANANA, "how many bananas?"), model.ask(BANANA, "how many fire engines?")
    assert several.text is None and len(several.regions.boxes) and "not how many" in several.reason
    assert (none.text, none.reason) == ("0", "")


def test_what_is_no_picture_is_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not a picture")
    with pytest.raises(ImageError, match=r"notes\.jpg"):
        model.ask(tmp_path / "notes.jpg", "is there a dog?")


def test_a_model_that_nobody_calibrated_needs_choices() -> None:
    model = open_autoglm.load()
    model.calibration = type(model.calibration)({}, model.calibration.reference)
    with pytest.raises(SettingError, match="ask with choices"):
        model.ask(BANANA, "is there a dog?")
    assert model.ask(BANANA, "what is this?", ["banana", "laptop"]).text == "banana"


def test_names_that_do_not_fit_their_vectors_are_refused(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(Bundle.open("open-autoglm-base").path, tmp_path / "copy"))
    with (copy / "vocabulary.txt").open("a") as names:
        names.write("one more\n")
    seal(copy, read_manifest(copy))
    with pytest.raises(BundleError, match=r"vocabulary\.safetensors does not fit the 1001 names of vocabulary\.txt"):
        open_autoglm.load(copy).ask(BANANA, "what is this?")
    fields = json.loads((copy / "manifest.json").read_text())
    del fields["vocabulary"]["classifier"]
    (copy / "manifest.json").write_text(json.dumps(fields))
    with pytest.raises(BundleError, match="damaged \\(classifier is missing"):
        Bundle.open(copy)
