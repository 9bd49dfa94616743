"""A recipe's optimisation in the terms of Hugging Face's Trainer.

It knows both vocabularies; it knows nothing about models or data.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from transformers import TrainingArguments

from .recipe import Recipe

NEVER = 10**9
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def training_arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """The recipe in the Trainer's terms."""
    settings = recipe.optimisation
    args = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        per_device_train_batch_size=settings.batch_size,
        max_steps=settings.steps or -1,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=SCHEDULES[settings.schedule],
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.beta2,
        optim="adamw_torch_fused",
        gradient_accumulation_steps=settings.accumulation,
        max_grad_norm=settings.clip or math.inf,
        bf16=settings.bf16,
        use_cpu=not torch.accelerator.is_available(),
        logging_steps=recipe.output.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=recipe.output.checkpoint_steps or NEVER,
        greater_is_better=True,
        seed=settings.seed,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        ddp_backend="gloo" if "RANK" in os.environ and not torch.cuda.is_available() else None,
    )
    args._n_gpu = min(1, args.n_gpu)  # several GPUs take torchrun: DataParallel would divide a batch unseen
    return args
