"""Pairs a second and peak memory of a training with cached gradients: this trainer beside Sentence Transformers'.

Both train one CLIP from the same random weights on the same pictures and captions of the Grocery Store Dataset, with
the same batch and chunk: this project from the imported bundle, Sentence Transformers with
``CachedMultipleNegativesRankingLoss`` in both directions. Each training is a process of its own, the two take turns,
and reading, decoding and resizing pictures counts on both sides; starting up, evaluating and saving counts on neither.
Pictures are prepared in the training process on both, there by Transformers' Pillow processor.
Captions are names and descriptions, of a few to 77 tokens; a second comparison has names alone, where encoding short
sentences apart from long ones gains nothing. Also says what queue, momentum encoder and cached gradients cost, as a
multiple of a plain step on a batch that fits.

It shows the speed of training a small model on a processor. It says nothing about graphics cards, nor about what is
learned. ``cpu_ms_per_pair`` holds where other programs take turns on the machine. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from _record import record

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
SIDES = Path(__file__).with_name("_throughput_sides.py")
SIZE, TOKENS = 96, 77
VISION = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 768}
TEXT = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 768}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
TARGET = 1.2


def main() -> None:
    """Takes turns between the two sides, then measures the costs, and records medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 round of 4 steps instead of 5 rounds of 14")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with grocery/")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else 5
    training = {"batch": 128, "chunk": 32, "warmup": 1 if arguments.quick else 2, "steps": 4 if arguments.quick else 12}
    stepping = {"batch": 64, "chunk": 0, "warmup": 1, "steps": 3 if arguments.quick else 16}
    began = time.perf_counter()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(arguments.data / "grocery", folder)
        run([sys.executable, __file__, "--checkpoint", name])
        # --quick leaves out the names: it has two minutes.
        for captions, times in {"mixed": rounds, "names": 0 if arguments.quick else rounds}.items():
            if times:
                measured = take_turns(folder, training | {"captions": captions}, times)
                figures |= {f"{captions}_{figure}": value for figure, value in compare(measured).items()}
        seconds = run_side("costs", folder, stepping | {"captions": "mixed"})
    figures |= {f"{step}_step": value / seconds["plain"] for step, value in seconds.items()}
    settings = {"rounds": rounds, "training": training, "step": stepping, "target": TARGET, "picture_size": SIZE}
    record("training_throughput", settings, figures, time.perf_counter() - began)


def take_turns(folder: Path, settings: Mapping[str, Any], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What both sides measured in each round; they start from the same vectors."""
    measured: dict[str, list[dict[str, Any]]] = {"autoglm": [], "sentence_transformers": []}
    for number in range(rounds):
        for side in list(measured)[:: 1 if number % 2 else -1]:
            measured[side].append(run_side(side, folder, settings))
    check_alike(measured)
    return measured


def compare(measured: Mapping[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Medians of both sides, and the medians of their ratios in a round."""
    figures: dict[str, float] = {}
    for name in ("pairs_per_second", "peak_mib", "cpu_ms_per_pair"):
        for side, runs in measured.items():
            figures[f"{side}_{name}"] = statistics.median(one[name] for one in runs)
    couples = list(zip(*measured.values(), strict=True))
    for ratio, name in (("times_the_pairs", "pairs_per_second"), ("times_the_memory", "peak_mib")):
        figures[ratio] = statistics.median(ours[name] / theirs[name] for ours, theirs in couples)
    return figures


def check_alike(measured: Mapping[str, list[dict[str, Any]]]) -> None:
    """Stops where the two sides did not start from the same model: their vectors of one caption differ."""
    ours, theirs = (runs[0]["vector"] for runs in measured.values())
    if max(abs(one - other) for one, other in zip(ours, theirs, strict=True)) > 1e-4:
        raise SystemExit("The two sides give different vectors for one caption before training.")


def write_pairs(groceries: Path, folder: Path) -> None:
    """The pictures of ``train`` with a caption each: ``mixed.parquet``, and with names alone ``names.parquet``."""
    products = {row["fine_id"]: row for row in pq.read_table(groceries / "classes.parquet").to_pylist()}
    pictures = pq.read_table(groceries / "train.parquet", columns=["image", "fine_id"])
    written = [captions(products[fine]) for fine in pictures["fine_id"].to_pylist()]
    for name, kinds in (("mixed", 3), ("names", 1)):
        column = [texts[row % kinds] for row, texts in enumerate(written)]
        pq.write_table(pa.table({"image": pictures["image"], "caption": column}), folder / f"{name}.parquet")


def captions(product: Mapping[str, Any]) -> tuple[str, str, str]:
    """A product's name, its kind with it, and its description."""
    name, kind = (product[key].replace("-", " ") for key in ("fine", "coarse"))
    return f"a photo of a {name}", f"{name}, a kind of {kind.lower()}, in a shop", product["description"]


def write_checkpoint(folder: Path) -> None:
    """A small CLIP with random weights in ``clip``, and what this project imports it to in ``bundle``."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    from open_autoglm.compression.importing import import_checkpoint

    words = make_tokenizer(pq.read_table(folder / "mixed.parquet")["caption"].to_pylist())
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    text = TEXT | ids | {"vocab_size": len(words), "max_position_embeddings": TOKENS}
    vision = VISION | {"image_size": SIZE, "patch_size": 16}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=128)).save_pretrained(folder / "clip")
    pictures = CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    CLIPProcessor(pictures, words).save_pretrained(folder / "clip")
    import_checkpoint(str(folder / "clip"), folder / "bundle")


def make_tokenizer(texts: list[str]) -> Any:
    """Byte pairs of the captions."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=4000, special_tokens=list(SPECIAL)))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    pad, unknown, first, last = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=pad,
        unk_token=unknown,
        bos_token=first,
        eos_token=last,
        model_max_length=TOKENS,
    )


def run_side(side: str, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What one process measured."""
    output = run([sys.executable, str(SIDES), side, str(folder), json.dumps(settings)])
    measured: dict[str, Any] = json.loads(output.splitlines()[-1])
    shown = ", ".join(f"{name} {value:.4g}" for name, value in measured.items() if isinstance(value, float))
    print(f"{side}: {shown}", file=sys.stderr)
    return measured


def run(command: list[str]) -> str:
    """A process's output; it finds the package in this tree and reaches no hub."""
    root = str(Path(__file__).parent.parent)
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | quiet | {"PYTHONPATH": root}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:3])} failed:\n{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    if sys.argv[1:2] == ["--checkpoint"]:
        write_checkpoint(Path(sys.argv[2]))
    else:
        main()
