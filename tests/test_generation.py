"""A decoder that writes: trained with a recipe, and the same token for token in torch and in the bundle."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch_parts import one_thread  # noqa: F401
from training_parts import recipe, tiny_model, tokenizer
from typer.testing import CliRunner

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.cache import PrefixCache, remembering
from open_autoglm.cache.memory import MemoryTier
from open_autoglm.cli import app
from open_autoglm.compression.int8_bundle import Checks, Int8Settings, quantise_bundle
from open_autoglm.compression.static_int8 import StaticSettings
from open_autoglm.data.descriptions import DescriptionCollator, DescriptionDataset, Text, texts_of
from open_autoglm.errors import BundleError, SettingError, TextError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.modeling.generation import Generator, TorchSteps
from open_autoglm.modeling.generator_settings import GeneratorSettings
from open_autoglm.runtime.describing import Describing
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.generation_settings import GenerationSettings
from open_autoglm.runtime.lexicon import END, OWN, START, UNKNOWN, Lexicon
from open_autoglm.runtime.wording import Wording
from open_autoglm.training.outcome import Outcome
from open_autoglm.training.run import train

PAINT = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (40, 60, 220), "white": (250, 250, 250)}
DECODER = {"width": 64, "heads": 2, "layers": 2, "dropout": 0.0, "most_tokens": 12}


def draw(folder: Path) -> None:
    """Pictures of one colour each, and two questions about each with an answer in a few words."""
    random = np.random.default_rng(0)
    rows = [["image", "question", "answer"]]
    for number in range(24):
        shown = list(PAINT)[number % len(PAINT)]
        pixels = np.clip(np.array(PAINT[shown]) + random.integers(-5, 6, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows += [[f"{number}.png", "a photo", f"of a {shown} cup"], [f"{number}.png", "photo", shown]]
    with (folder / "questions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    table = {"path": str(folder / "questions.csv"), "answer": "answer"}
    return {
        "task": "describe",
        "model": {"config": {"generation": DECODER, "aligned": False}},
        "data": {"train": table, "validation": table, "augmentation": None, "questions": 2},
        "optimisation": {"learning_rate": 3e-3, "epochs": 150, "batch_size": 12},
        "evaluation": {"every": 150},
    } | changes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("generation")
    draw(made)
    tiny_model(made / "start")
    return made


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return train(recipe(folder, **settings(folder)))


def test_it_learns_to_write(outcome: Outcome, folder: Path) -> None:
    assert outcome.figures["token_accuracy"] >= 0.9 and outcome.figures["loss"] < 0.5
    model = open_autoglm.load(outcome.bundle)
    for number, colour in enumerate(PAINT):
        answer = model.describe(folder / f"{number}.png", "a photo")
        assert (answer.text, answer.ended, answer.tokens) == (f"of a {colour} cup", True, 4)
        assert 0.5 < answer.confidence <= 1
        assert model.describe(folder / f"{number}.png", "photo").text == colour


def test_the_bundle_writes_what_the_model_writes_token_for_token(outcome: Outcome, folder: Path) -> None:
    model = open_autoglm.load(outcome.bundle)
    torch_model = OpenAutoGLM.from_pretrained(outcome.bundle).eval()
    processor = OpenAutoGLMProcessor.from_pretrained(outcome.bundle)
    photos = [folder / f"{number}.png" for number in range(3)]
    pixels = processor(text=["a"], images=[str(photo) for photo in photos], return_tensors="pt")["pixel_values"]
    boxes = torch.from_numpy(model.describing.propose(np.zeros((32, 32, 3), np.uint8))).expand(3, -1, -1)
    ways = (
        GenerationSettings(),
        GenerationSettings(num_beams=3, length_penalty=2.0),
        GenerationSettings(do_sample=True, temperature=3.0, seed=7),
        GenerationSettings(repetition_penalty=1.5, no_repeat_ngram_size=2, max_new_tokens=3),
    )
    for way in ways:
        for prompt in (None, "a photo"):
            ids = processor.tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
            ours = torch_model.generate(pixels, boxes, prompt_ids=ids, generation=way)
            for photo, tokens in zip(photos, ours, strict=True):
                theirs = model.describe(photo, prompt, way)
                assert theirs.text == processor.tokenizer.decode(tokens, skip_special_tokens=True), way
                assert theirs.tokens == len(tokens) > 0
    facts = json.loads((outcome.bundle / "manifest.json").read_text())
    parity = facts["graphs"]["decode"]["fp32"]["parity"]
    assert parity["equal_tokens"] > 0 and parity["max_difference"] < 1e-3
    assert len(facts["generation"]["tokens"]) == 8  # of all the words that training wrote or was asked


def test_in_int8_it_writes_the_same(outcome: Outcome, folder: Path, tmp_path: Path) -> None:
    photos = [folder / f"{number}.png" for number in range(8)]
    settings = Int8Settings(StaticSettings(most_float=0.5), least_speedup=0)  # so few layers each weigh much
    made = quantise_bundle(Bundle.open(outcome.bundle), tmp_path / "int8", Checks(photos[:4], photos[4:]), settings)
    assert made.parity["decode"]["same_answers"] == 1 and made.parity["decode"]["compared"] == 4
    assert made.parity["context"]["mean_cosine"] > 0.98
    int8, fp32 = (open_autoglm.load(made.path, precision=precision) for precision in ("int8", "fp32"))
    for photo in photos:
        assert int8.describe(photo, "a photo").text == fp32.describe(photo, "a photo").text


def test_a_second_prompt_about_a_picture_reads_only_what_is_new(
    outcome: Outcome, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, photo = open_autoglm.load(outcome.bundle), folder / "0.png"
    remembered = remembering(model, PrefixCache([MemoryTier(2**24, 1000)]))
    prompts = ("a photo of", "a photo of a red", "a photo", "a photo of a red cup", None)
    ways = (GenerationSettings(), GenerationSettings(num_beams=3))
    wanted = {(prompt, way): model.describe(photo, prompt, way) for prompt in prompts for way in ways}
    read, run = list[int](), Engine.outputs

    def outputs(engine: Engine, names: Any, **inputs: Any) -> Any:
        read.extend([inputs["tokens"].shape[1]] if "tokens" in inputs else [])
        return run(engine, names, **inputs)

    monkeypatch.setattr(Engine, "outputs", outputs)
    looks, look = list[int](), Describing.look
    monkeypatch.setattr(Describing, "look", lambda *given: (looks.append(1), look(*given))[1])
    begun = []
    for (prompt, way), answer in wanted.items():
        read.clear()
        found = remembered.describe(photo, prompt, way)
        assert (found.text, found.tokens, found.ended) == (answer.text, answer.tokens, answer.ended)
        assert found.confidence == pytest.approx(answer.confidence, rel=1e-3)
        begun.append(read[:2])
        read.clear()
        assert remembered.describe(photo, prompt, way) == found and not read
    assert looks == [1]
    # A step of all that is new but for the last token, then that one; where nothing else is new, it alone.
    assert begun[0] == [3, 1] and begun[2] == [2, 1]
    assert all(steps == [1, 1] for steps in begun[3:])


def decoder(**changes: Any) -> Generator:
    torch.manual_seed(0)
    made = Generator(16, 0, GeneratorSettings(**{**DECODER, "tokens": tuple(range(20)), **changes})).eval()
    torch.nn.init.normal_(made.decoder.token_embedding.weight, std=0.3)
    return made


def test_steps_with_a_cache_give_what_the_whole_text_gives() -> None:
    model = decoder()
    context, mask = model.decoder.prepare(torch.randn(1, 5, 768)), torch.ones(1, 5, dtype=torch.bool)
    tokens = torch.randint(OWN, 23, (2, 12))
    with torch.no_grad():
        whole = model.teach(context.expand(2, -1, -1), mask.expand(2, -1), tokens).numpy()
    steps = TorchSteps(model.decoder, context, mask)
    steps.past = model.decoder.nothing(2)
    stepped = [steps.step(tokens[:, :4].numpy())]
    stepped += [steps.step(tokens[:, place, None].numpy()) for place in range(4, 8)]
    steps.keep(np.array([1, 1, 0]))
    stepped += [steps.step(tokens[[1, 1, 0], 8, None].numpy())]
    for place, logits in enumerate(stepped[:-1], 3):
        assert np.allclose(logits, whole[:, place], atol=1e-4)
    assert np.allclose(stepped[-1], whole[[1, 1, 0], 8], atol=1e-4)


def test_later_tokens_and_masked_regions_change_nothing() -> None:
    model = decoder()
    regions, mask = torch.randn(2, 5, 768), torch.tensor([[True] * 3 + [False] * 2] * 2)
    tokens = torch.randint(OWN, 23, (2, 8))
    with torch.no_grad():
        logits = model.teach(model.decoder.prepare(regions), mask, tokens)
        regions[:, 3:] = 9.0
        tokens[:, 5:] = END
        other = model.teach(model.decoder.prepare(regions), mask, tokens)
    assert torch.allclose(logits[:, :5], other[:, :5], atol=1e-5)
    assert not torch.allclose(logits[:, 5:], other[:, 5:], atol=1e-2)


def test_what_is_due_after_each_token(folder: Path) -> None:
    words = tokenizer()
    lexicon = Lexicon(words("a photo of red cup", add_special_tokens=False)["input_ids"])
    collator = DescriptionCollator(None, words, lexicon, most_tokens=5)  # type: ignore[arg-type]
    a, photo, of, red, cup = range(OWN, OWN + 5)
    assert collator._row(Text("", "red cup")) == ([START, red, cup], [red, cup, END])
    assert collator._row(Text("a photo", "red")) == ([START, a, photo, red], [-100, -100, red, END])
    assert collator._row(Text("", "a photo of lamp")) == ([START, a, photo, of, UNKNOWN], [a, photo, of, UNKNOWN, END])
    cut = collator._row(Text("", "red red red red red red"))
    assert cut == ([START, red, red, red, red], [red] * 5)


def test_a_record_gives_its_captions_or_its_answers() -> None:
    made: Any = type("Record", (), {"captions": ("red", "a cup"), "answers": ()})
    assert texts_of(made) == (Text("", "red"), Text("", "a cup"))
    made.answers = ("yes", "no")
    assert texts_of(made) == (Text("red", "yes"), Text("a cup", "no"))


def test_each_text_of_a_picture_gets_its_turn(folder: Path) -> None:
    from open_autoglm.training.material import open_splits

    records = open_splits(recipe(folder, **settings(folder)).data, 0).train
    seen: Any = type("Seen", (), {"limits": None, "__call__": lambda *_, **__: np.zeros((8, 8, 3), np.uint8)})()
    dataset = DescriptionDataset(records, seen, lambda pixels: np.zeros((1, 4), np.float32), texts=1)
    drawn = [dataset[epoch, 5].texts for epoch in range(2)]
    assert {text for (text,) in drawn} == set(dataset[5].texts)


def test_what_cannot_be_written_is_said(outcome: Outcome, folder: Path) -> None:
    model, photo = open_autoglm.load(outcome.bundle), folder / "0.png"
    plain = model.describe(photo)
    assert model.describe(photo, "") == model.describe(photo, " \n") == plain
    with pytest.raises(TextError, match="no word that this model writes"):
        model.describe(photo, "zebra")
    with pytest.raises(TextError, match="make it shorter"):
        model.describe(photo, "a " * 20_000)
    with pytest.raises(SettingError, match="The prompt has 30 tokens, and the model writes 12 with it"):
        model.describe(photo, "a " * 30)
    assert model.describe(photo, "a " * 11, GenerationSettings(max_new_tokens=99)).tokens <= 1
    with pytest.raises(SettingError, match="open-autoglm-base has no decoder that writes"):
        open_autoglm.load().describe(photo)
    with pytest.raises(SettingError, match="does not write"):
        OpenAutoGLM.from_pretrained(folder / "start").generate(torch.zeros(1, 3, 32, 32))
    with pytest.raises(SettingError, match="did you mean layers"):
        train(recipe(folder, **settings(folder, name="odd", model={"config": {"generation": {"layer": 2}}})))
    with pytest.raises(SettingError, match="3 heads cannot share"):
        train(recipe(folder, **settings(folder, name="odd", model={"config": {"generation": {"heads": 3}}})))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("tokens", [], "generation.tokens"),
        ("tokens", [1, "2"], "generation.tokens"),
        ("most_tokens", 0, "most_tokens is 0"),
        ("proposals", {}, "kind is missing"),
        ("width", 3, "field 'width'"),
    ],
)
def test_a_damaged_manifest_is_refused(outcome: Outcome, tmp_path: Path, name: str, value: Any, sentence: str) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(outcome.bundle, bundle)
    facts = json.loads((bundle / "manifest.json").read_text())
    facts["generation"][name] = value
    (bundle / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(BundleError, match=sentence):
        open_autoglm.load(bundle)


def test_words_come_back_as_they_went(tmp_path: Path) -> None:
    tokenizer().save_pretrained(tmp_path)
    wording = Wording(tmp_path / "tokenizer.json", Lexicon(range(20)))
    prompt = wording.prompt("a red cup")
    assert prompt[0] == START and wording.text([*prompt, END]) == "a red cup"
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read as a tokenizer"):
        Wording(tmp_path / "tokenizer.json", Lexicon(range(20)))


def test_the_command_describes_pictures_and_passes_over_others(outcome: Outcome, folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    photos, model = [str(folder / f"{number}.png") for number in range(2)], ["--model", str(outcome.bundle)]
    found = CliRunner().invoke(app, ["describe", photos[0], "--prompt", "a photo", *model])
    assert (found.exit_code, found.stdout) == (0, "of a red cup\n")
    found = CliRunner().invoke(app, ["describe", *photos, str(broken), "--prompt", "photo", "--beams", "2", *model])
    assert found.exit_code == 0 and found.stdout == f"{photos[0]}: red\n{photos[1]}: green\n"
    assert "broken.jpg" in found.stderr
    found = CliRunner().invoke(app, ["describe", *photos, "--prompt", "a photo", "--most", "1", "--json", *model])
    told = json.loads(found.stdout)
    assert [one["text"] for one in told["pictures"]] == ["of", "of"] and not told["pictures"][0]["ended"]
    for mistake in ([str(broken)], [photos[0], "--top-k", "3"], [photos[0], "--sample", "--beams", "2"]):
        found = CliRunner().invoke(app, ["describe", *mistake, *model])
        assert found.exit_code == 2 and len(found.stderr.strip().splitlines()) == 1
