"""From words to vectors: this runtime beside Sentence Transformers' ONNX backend, with the same text tower and weights.

Tokenising counts on both sides. Sentence Transformers runs the bundle's float32 graph, and what its own dynamic
quantisation for VNNI makes of that; ours runs the bundle's float32 and int8 graphs. They are asked in turns, each in a
process of its own. ``times``: over Sentence Transformers in float32. ``cosine``: to ours in float32.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from _peers import PYTHON, install_peers
from _record import record
from onnx import TensorProto, helper

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.compression.folding import inlined
from open_autoglm.compression.sentences import SENTENCES
from open_autoglm.runtime.engine import available_cores

BUNDLE = "open-autoglm-base"
CHILD = Path(__file__).parent / "_sentences_onnx.py"


def main() -> None:
    """Measures and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a look")
    rounds = 20 if parser.parse_args().quick else 300
    began = time.perf_counter()
    install_peers()
    ours = {precision: open_autoglm.load(BUNDLE, precision=precision) for precision in ("fp32", "int8")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(Bundle.open(BUNDLE), folder)
        command = [PYTHON, CHILD, folder, str(available_cores())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None and child.stdin is not None
            while child.stdout.readline() != "ready\n":
                pass

            def theirs(precision: str, texts: list[str]) -> tuple[float, np.ndarray]:
                child.stdin.write(json.dumps([precision, texts]) + "\n")
                child.stdin.flush()
                seconds, vectors = json.loads(child.stdout.readline())
                return seconds, np.array(vectors)

            def mine(precision: str, texts: list[str]) -> tuple[float, np.ndarray]:
                before = time.perf_counter()
                vectors = ours[precision].embed_texts(texts)
                return time.perf_counter() - before, vectors

            sides = {
                f"{name}_{precision}": (side, precision)
                for name, side in (("sentence_transformers", theirs), ("ours", mine))
                for precision in ("fp32", "int8")
            }
            figures: dict[str, float] = {}
            for count in (1, 16):
                figures |= {f"{count}_{key}": value for key, value in measured(sides, count, rounds).items()}
            child.stdin.close()
    settings = {"bundle": BUNDLE, "rounds": rounds, "threads": available_cores()}
    record("sentences", settings, figures, time.perf_counter() - began)


def measured(
    sides: dict[str, tuple[Callable[[str, list[str]], tuple[float, np.ndarray]], str]], count: int, rounds: int
) -> dict[str, float]:
    """Milliseconds of each side, how many times as fast it is, and how close its vectors are."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    cosines: dict[str, list[float]] = {name: [] for name in sides}
    reference, precision = sides["ours_fp32"]
    for turn in range(rounds):
        texts = [SENTENCES[(turn * count + number) % len(SENTENCES)] for number in range(count)]
        wanted = reference(precision, texts)[1]
        for name, (side, kind) in sides.items():
            time.sleep(0.1)  # the other side's threads look for more work for a while
            side(kind, texts)  # and its weights have the caches
            seconds, vectors = side(kind, texts)
            taken[name].append(seconds)
            cosines[name].append(float((vectors * wanted).sum(axis=1).mean()))
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    first = next(iter(sides))
    return {
        **{f"{name}_ms": 1000 * median for name, median in medians.items()},
        **{f"{name}_times": medians[first] / median for name, median in medians.items()},
        **{f"{name}_cosine": float(np.mean(found)) for name, found in cosines.items()},
    }


def write(bundle: Bundle, folder: Path) -> None:
    """The text tower as a folder that Sentence Transformers opens: its vector stands where a first token's would."""
    graph = inlined(bundle, bundle.graph("text", "fp32"))
    (vectors,) = graph.graph.output
    size = vectors.type.tensor_type.shape.dim[1].dim_value
    graph.graph.initializer.append(helper.make_tensor("one", TensorProto.INT64, [1], [1]))
    graph.graph.node.append(helper.make_node("Unsqueeze", [vectors.name, "one"], ["last_hidden_state"]))
    del graph.graph.output[:]
    shape = ["batch", 1, size]
    graph.graph.output.append(helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape))
    (folder / "onnx").mkdir()
    onnx.save(graph, folder / "onnx" / "model.onnx")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bundle.path / name, folder)
    pooling = {"word_embedding_dimension": size, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    config = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": size, "num_attention_heads": 8}
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "1_Pooling").mkdir()
    for name, content in (("1_Pooling/config", pooling), ("config", config), ("modules", modules)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
