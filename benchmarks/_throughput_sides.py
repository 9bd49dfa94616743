"""One side of ``training_throughput.py``, in a process of its own so that its peak memory is its own.

    python benchmarks/_throughput_sides.py SIDE FOLDER SETTINGS

prints one line of JSON. SIDE is ``autoglm`` or ``sentence_transformers`` (a training: pairs a second, peak memory and
the first caption's vector before it), or ``costs`` (seconds of steps with queue, momentum encoder, cached gradients).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

CAPTION = "a photo of a Granny Smith apple"
QUEUE = 4096


class Clock(TrainerCallback):
    """Seconds from the end of step ``warmup`` to the end of the last, with all that the trainer does between."""

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self.began = self.ended = (0.0, 0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ended = time.perf_counter(), time.process_time()
        if state.global_step == self.warmup:
            self.began = self.ended

    def figures(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """Pairs a second; the processor's milliseconds a pair, over all cores; the process's peak memory in MiB."""
        pairs = (settings["steps"] - self.warmup) * settings["batch"]
        seconds, busy = (end - begin for begin, end in zip(self.began, self.ended, strict=True))
        return {"pairs_per_second": pairs / seconds, "cpu_ms_per_pair": 1000 * busy / pairs, "peak_mib": peak_mib()}


def peak_mib() -> float:
    """VmHWM: unlike ``ru_maxrss`` it leaves out what the parent held when this process was started."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def autoglm(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """This project's trainer: its own recipe, loader and step."""
    clock = Clock(settings["warmup"])
    run = begin(folder, settings, settings["chunk"], {}, callbacks=[clock])
    words = run.trainer.material.collator.texts([CAPTION])
    with torch.no_grad():
        vector = run.trainer.module.model.eval().get_text_features(**words)[0]
    run.trainer.train()
    return clock.figures(settings) | {"vector": vector.tolist()}


def pairs_of(folder: Path, settings: Mapping[str, Any]) -> Path:
    """The pictures and captions that a training sees."""
    return folder / f"{settings['captions']}.parquet"


def begin(folder: Path, settings: Mapping[str, Any], chunk: int | None, changes: Mapping[str, Any], **more: Any) -> Any:
    """A training that is ready to start; nothing is saved, evaluated or varied."""
    from open_autoglm.training.reading import parse_recipe
    from open_autoglm.training.run import start

    content = {
        "name": "throughput",
        "model": {"start": str(folder / "bundle")},
        "data": {
            "train": {
                "path": str(pairs_of(folder, settings)),
                "picture": "image",
                "captions": ["caption"],
            },
            "validation_share": 0.0,
            "augmentation": None,
        },
        "optimisation": {
            "learning_rate": 1e-4,
            "batch_size": settings["batch"],
            "chunk": chunk,
            "steps": settings["steps"],
        },
        "output": {"folder": str(folder / "runs"), "checkpoint_minutes": 1e9},
    }
    (folder / "runs").mkdir(exist_ok=True)
    return start(parse_recipe({**content, **changes}, "the benchmark"), folder / "runs", saving=False, **more)


def sentence_transformers(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Sentence Transformers' trainer with its cached loss both ways, which is CLIP's."""
    from datasets import Dataset, Image, disable_progress_bars
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

    disable_progress_bars()
    model = SentenceTransformer(str(folder / "clip"), device="cpu")
    vector = model.encode(CAPTION, convert_to_tensor=True, normalize_embeddings=True)
    loss = CachedMultipleNegativesRankingLoss(
        model,
        mini_batch_size=settings["chunk"],
        directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    )
    clock = Clock(settings["warmup"])
    pairs = Dataset.from_parquet(str(pairs_of(folder, settings)), cache_dir=str(folder / "cache"))
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(folder / "theirs"),
            per_device_train_batch_size=settings["batch"],
            max_steps=settings["steps"],
            learning_rate=1e-4,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=pairs.select_columns(["image", "caption"]).cast_column("image", Image()),
        loss=loss,
        callbacks=[clock],
    )
    trainer.train()
    return clock.figures(settings) | {"vector": vector.tolist()}


def costs(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Median seconds of whole steps on one batch that fits, the variants taking turns."""
    queue = {"objective": {"name": "queue_contrastive", "settings": {"size": QUEUE}}}
    variants = {
        "plain": begin(folder, settings, None, {}),
        "queue": begin(folder, settings, None, queue),
        "queue_and_momentum": begin(folder, settings, None, queue | {"momentum": {}}),
        "cached_in_2": begin(folder, settings, settings["batch"] // 2, {}),
        "cached_in_4": begin(folder, settings, settings["batch"] // 4, {}),
    }
    trainer = variants["plain"].trainer
    batch = next(iter(trainer.get_train_dataloader()))
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run.trainer.create_optimizer()
        run.trainer.current_gradient_accumulation_steps = 1
        fill(run.trainer.module.objective)
    for _ in range(settings["steps"]):
        for name, run in variants.items():
            began = time.perf_counter()
            whole_step(run.trainer, batch)
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times[settings["warmup"] :]) for name, times in seconds.items()}


def whole_step(trainer: Any, batch: Mapping[str, Any]) -> None:
    """Gradients, the optimiser's step, and what follows it."""
    trainer.training_step(trainer.module, dict(batch))
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    trainer.module.after_update()


@torch.no_grad()
def fill(objective: Any) -> None:
    """A queue as it is after some hundred steps: full, of other pairs."""
    queue = getattr(objective, "queue", None)
    if queue is not None:
        for side in (queue.images, queue.texts):
            side.copy_(torch.nn.functional.normalize(torch.randn_like(side), dim=1))
        queue.pushed.fill_(queue.size)


if __name__ == "__main__":
    sides = {"autoglm": autoglm, "sentence_transformers": sentence_transformers, "costs": costs}
    print(json.dumps(sides[sys.argv[1]](Path(sys.argv[2]), json.loads(sys.argv[3]))))
