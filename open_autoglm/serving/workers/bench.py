"""Runs batches on loaded models: pictures are decoded by other threads while earlier ones are looked at.

It knows models and tasks; it knows nothing of queues, processes or frames.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OpenAutoGLMError
from ...runtime.classifying import classified
from ...runtime.model import Model
from ..answering import ANSWERS
from ..work import (
    Classify,
    EmbedImage,
    EmbedQuery,
    EmbedText,
    EmbedViews,
    RunGraph,
    Task,
)
from .running import Batch, Done, ModelFailed, Ran

_LOG = logging.getLogger(__name__)
Floats = NDArray[np.float32]
Decoded = tuple[NDArray[np.uint8] | Exception, float]  # pixels, or why there are none; and the seconds it took


@dataclass(frozen=True)
class Begun:
    """A batch whose pictures are being decoded."""

    batch: Batch
    decoded: Sequence[Callable[[], Decoded]]


class Bench:
    """Models by their names, and threads that decode for them. One batch is finished at a time."""

    def __init__(self, models: Mapping[str, Model], decoders: int) -> None:
        self._models = models
        self._decoders = ThreadPoolExecutor(decoders, "decode")

    def begin(self, batch: Batch, ahead: bool) -> Begun:
        """Has a batch's pictures decoded; ``ahead``: now, because others are in work, even where it is but one."""
        model = self._models[batch.model]
        work = [
            partial(_decode, model, task)
            for task in batch.tasks
            if isinstance(task, EmbedImage | EmbedViews | Classify)
        ]
        if ahead or len(work) > 1:
            return Begun(batch, [self._decoders.submit(one).result for one in work])
        return Begun(batch, work)  # by the thread that waits for it anyway

    def finish(self, begun: Begun) -> Done:
        """What became of each task; an error of one leaves the others alone."""
        started, model, tasks = time.perf_counter(), self._models[begun.batch.model], begun.batch.tasks
        if begun.decoded:
            results = _pictures(model, tasks, begun.decoded)
        elif isinstance(tasks[0], EmbedText | EmbedQuery):
            results = _texts(model, tasks)
        else:
            results = [_one(model, task) for task in tasks]
        return Done(results, time.perf_counter() - started)

    def close(self) -> None:
        """Ends the threads."""
        self._decoders.shutdown(cancel_futures=True)


def _decode(model: Model, task: EmbedImage | EmbedViews | Classify) -> Decoded:
    started = time.perf_counter()
    pixels: NDArray[np.uint8] | Exception
    try:
        pixels = model.prepare(task.content)
    except Exception as error:
        pixels = known(error)
    return pixels, time.perf_counter() - started


def _pictures(model: Model, tasks: Sequence[Task], decoded: Sequence[Callable[[], Decoded]]) -> list[Ran]:
    results: list[Ran] = []
    for start in range(0, len(tasks), model.batch_size):
        chunk = slice(start, start + model.batch_size)
        results += _looked_at(model, tasks[chunk], [get() for get in decoded[chunk]])
    return results


def _looked_at(model: Model, tasks: Sequence[Task], decoded: Sequence[Decoded]) -> list[Ran]:
    """Pictures that run at once."""
    started = time.perf_counter()
    good = [pixels for pixels, _ in decoded if not isinstance(pixels, Exception)]
    views: list[Floats] | Exception = []
    if good:
        try:
            views = list(model.embed_prepared(np.stack(good)))
        except Exception as error:
            views = known(error)
    took, found, results = time.perf_counter() - started, iter(views if isinstance(views, list) else ()), []
    for task, (pixels, seconds) in zip(tasks, decoded, strict=True):
        stages = {"decode": seconds}
        if isinstance(pixels, Exception):
            results.append(Ran(error=pixels, stages=stages))
            continue
        stages["inference"] = took
        if isinstance(views, Exception):
            results.append(Ran(error=views, stages=stages))
        else:
            results.append(_ran(partial(_of_views, model, task, next(found)), stages))
    return results


def _of_views(model: Model, task: Task, views: Floats) -> Any:
    if isinstance(task, Classify):
        return classified(model, model.labels(task.labels), views)
    return views[0] if isinstance(task, EmbedImage) else views


def _texts(model: Model, tasks: Sequence[Task]) -> list[Ran]:
    """All at once; or each by itself, where one of them cannot be used."""
    started = time.perf_counter()
    texts = [task.text for task in tasks if isinstance(task, EmbedText | EmbedQuery)]
    try:
        if isinstance(tasks[0], EmbedQuery):
            queries = model.embed_queries(texts)
            found: list[Any] = [queries[row : row + 1] for row in range(len(tasks))]
        else:
            found = list(model.embed_texts(texts))
    except OpenAutoGLMError as error:
        if len(tasks) == 1:
            return [Ran(error=error)]
        return [ran for task in tasks for ran in _texts(model, [task])]
    except Exception as error:
        return [Ran(error=known(error))] * len(tasks)
    stages = {"inference": time.perf_counter() - started}
    return [Ran(value, stages=stages) for value in found]


def _one(model: Model, task: Task) -> Ran:
    started, stages = time.perf_counter(), dict[str, float]()
    ran = _ran(partial(_answer, model, task), stages)
    stages["inference"] = time.perf_counter() - started
    return ran


def _answer(model: Model, task: Task) -> Any:
    if isinstance(task, RunGraph):
        return model.run_graph(task.graph, task.outputs, task.inputs)
    return ANSWERS[type(task)](model, task)


def _ran(work: Callable[[], Any], stages: Mapping[str, float]) -> Ran:
    try:
        return Ran(work(), stages=stages)
    except Exception as error:
        return Ran(error=known(error), stages=stages)


def known(error: Exception) -> Exception:
    """An error as it is told: the sender's mistake as it is, anything else in the log alone."""
    if isinstance(error, OpenAutoGLMError):
        return error
    _LOG.error("The model failed", exc_info=error)
    return ModelFailed()
