"""Two real processes that train together have the gradients of one process with the whole batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from test_objectives_pairs import CASES, LABELS, gradients, parts_of, random_batch
from torch.nn.parallel import DistributedDataParallel
from torch_parts import one_thread as one_thread

from open_autoglm.objectives import GradCache, Step, gather

SHARES = (slice(0, 6), slice(6, 10))  # unequal on purpose
STEPS = 2
KINDS = ("plain", "cached")


def run(step: Step, rows: slice) -> dict[str, Any]:
    """The losses, gradients and objective's memory after some steps on a share of the batches."""
    losses = []
    for number in range(STEPS):
        batch = {key: value[rows] for key, value in random_batch(LABELS + number, seed=number).items()}
        losses.append(step.step(batch).loss.item())
    memory = step.objective.state_dict()  # type: ignore[attr-defined]
    return {"losses": losses, "gradients": gradients(step), "memory": memory}


def make(case: str, kind: str, distributed: bool) -> Step:
    parts = parts_of(case, dropout=0.0)
    if distributed:
        parts["model"] = DistributedDataParallel(parts["model"])
    return GradCache(**parts, chunk=2) if kind == "cached" else Step(**parts)


def work(rank: int, folder: str) -> None:
    """What each of the two processes does."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=len(SHARES))
    found = {(case, kind): run(make(case, kind, True), SHARES[rank]) for case in CASES for kind in KINDS}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[tuple[str, str], Any]]:
    folder = tmp_path_factory.mktemp("together")
    torch.multiprocessing.spawn(work, args=(str(folder),), nprocs=len(SHARES))
    return [torch.load(folder / f"{rank}.pt") for rank in range(len(SHARES))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_one_process(together: list[dict[tuple[str, str], Any]], case: str, kind: str) -> None:
    alone = run(make(case, kind, False), slice(None))
    for found in together:
        ours = found[case, kind]
        assert ours["losses"] == pytest.approx(alone["losses"], abs=1e-10)
        for part in ("gradients", "memory"):
            assert ours[part].keys() == alone[part].keys()
            assert all(torch.allclose(ours[part][name], value, atol=1e-10) for name, value in alone[part].items())


def test_one_process_gathers_nothing() -> None:
    parts = parts_of("contrastive")
    pairs = parts["encode"](parts["model"], random_batch())
    assert gather(pairs) is pairs
