"""The fastest bundle that loses no more than is allowed: int8, pruned, or both, each made and measured.

It knows the ways there are and what was asked for; how each is done, ``int8_bundle`` and ``pruned_bundle`` know.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from open_autoglm import bundle as bundles
from open_autoglm.bundle import MANIFEST, Bundle, Graph
from open_autoglm.errors import BundleError, OpenAutoGLMError, SettingError
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.model import Model

from .graph_inputs import answer_inputs, picture_inputs, text_inputs
from .int8_bundle import TASKS, Checks, Int8Settings, Report, compare, quantise_bundle
from .ranges import Inputs
from .sharing import bytes_needed
from .static_int8 import StaticSettings
from .wish import MEGABYTE, Precision, Row, Wish

ROUNDS = 7
TIMED = ("image", "text", "regions", "answer", "context")  # what one picture and one sentence go through


@dataclass(frozen=True)
class Pruned:
    """What went: the ``share`` of both towers' parameters; ``notes``, a sentence each, on a tower that stays whole."""

    share: float
    notes: tuple[str, ...]


Pruner = Callable[[Bundle, float, Path, Checks, Report], Pruned]


@dataclass(frozen=True)
class Compressed:
    """What was written, its row, all ``rows`` that were measured, the full bundle's first, and ``notes`` of the way."""

    path: Path
    chosen: Row
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def compress(
    source: Bundle,
    target: Path,
    checks: Checks,
    wish: Wish,
    *,
    shares: Sequence[float] = (),
    prune: Pruner | None = None,
    keep_float: bool = False,
    report: Report = lambda step: None,
) -> Compressed:
    """Writes to ``target`` the fastest bundle that grants ``wish``, or raises BundleError, and writes nothing.

    Tried are int8, and for each of ``shares`` of the towers' parameters, pruned by ``prune``, with float and with int8
    graphs. Each graph written has its loss, speed and size beside the full one in its ``parity``. ``keep_float`` leaves
    the float graphs in, beside int8 ones. SettingError for a bundle without float graphs, which was made small before.
    """
    target = bundles.check_target(target)
    if any("fp32" not in there for there in source.manifest.graphs.values()):
        raise SettingError(f"{source.path} has no float graphs to begin with: start from the bundle it was made of.")
    target.parent.mkdir(parents=True, exist_ok=True)
    bench, notes = Bench(source, checks), list[str]()
    made = list[tuple[Row, Path]]()
    with tempfile.TemporaryDirectory(prefix=".compress.", dir=target.parent) as workshop:
        for share in (0.0, *shares):
            floats, gone = source, 0.0
            if share:
                assert prune is not None  # noqa: S101  (whoever gives shares gives the way)
                report(f"Pruning by {share:.0%}")
                place = Path(workshop) / f"pruned-{share:g}"
                try:
                    pruned = prune(source, share, place, checks, report)
                except OpenAutoGLMError as error:  # what was made before is not lost
                    notes.append(str(error))
                    continue
                floats, gone = Bundle.open(place), pruned.share
                notes += pruned.notes
                made.append((bench.row(floats, gone, "fp32"), place))
            place = Path(workshop) / f"int8-{share:g}"
            settings = Int8Settings(
                static=StaticSettings(least_cosine=1 - wish.max_loss),
                least_text_cosine=1 - wish.max_loss,
                least_same=1 - wish.max_loss,
                least_speedup=0.0 if wish.kind in ("size", "int8") else 1.0,
                only=not keep_float,
            )
            try:
                notes += quantise_bundle(floats, place, checks, settings, report=report).notes
            except BundleError as error:
                notes.append(str(error))
                continue
            made.append((bench.row(Bundle.open(place), gone, "int8"), place))
        rows = [row for row, _ in made]
        granted = [pair for pair in made if wish.granted(pair[0])]
        if not granted:
            raise BundleError(" ".join([nearest(wish, rows), *dict.fromkeys(notes), "Nothing was written."]))
        chosen, place = min(granted, key=lambda pair: pair[0].milliseconds)
        bench.record(Bundle.open(place))
        with bundles.writing(target) as folder:
            shutil.copytree(place, folder, dirs_exist_ok=True)
    return Compressed(target, chosen, (bench.full, *rows), tuple(dict.fromkeys(notes)))


def nearest(wish: Wish, rows: Sequence[Row]) -> str:
    """What was asked for, and the best there is of what was made."""
    if not rows:
        return f"No smaller bundle has {wish}: none could be made."
    reaching = [row for row in rows if wish.reached(row)]
    best = min(reaching or rows, key=lambda row: row.loss)
    found = f"{best.name}: {best.megabytes:.1f} MB, {best.milliseconds:.1f} ms, loss {best.loss:.4f}"
    if wish.kind == "int8" and best.in_float:
        found += f", with {' and '.join(best.in_float)} in float"
    return f"No bundle has {wish}; the best found is {found}."


class Bench:
    """Measures bundles beside the full one, on the check pictures and sentences."""

    def __init__(self, source: Bundle, checks: Checks) -> None:
        self.source, self.checks = source, checks
        self.model = Model(source, precision="fp32")
        self._inputs = {task: self._first(task) for task in TIMED if task in source.manifest.graphs}
        mine = self._milliseconds(source, "fp32")[0]
        self.full = Row(0.0, "fp32", size(source), mine, 1.0, {})

    def row(self, bundle: Bundle, pruned: float, precision: Precision) -> Row:
        """A bundle's, whose graphs of ``precision`` are run where it has them."""
        losses = {task: lost(self.parity(bundle, task)) for task in bundle.manifest.graphs if task != "detect"}
        own, full = self._milliseconds(bundle, precision)
        return Row(pruned, precision, size(bundle), own, full / own, losses, in_float(bundle))

    def parity(self, bundle: Bundle, task: str) -> dict[str, float]:
        """The figures of the graph that a bundle prefers beside the full one."""
        return compare(self.model, bundle, task, bundle.graph(task), self.checks)

    def record(self, bundle: Bundle) -> None:
        """Puts loss, speed and size beside the full bundle into the parity of every graph that is preferred."""
        graphs = {task: dict(there) for task, there in bundle.manifest.graphs.items()}
        for task in graphs:
            if task == "detect":
                continue
            graph = bundle.graph(task)
            precision = next(name for name, one in graphs[task].items() if one == graph)
            known = {name: value for name, value in graph.parity.items() if name == "float_layers"}
            figures = {**known, **self.parity(bundle, task), "bytes": float(bytes_needed(bundle, graph))}
            graphs[task][precision] = replace(graph, parity={**figures, "loss": lost(figures)})
        bundles.amend(bundle.path, graphs=graphs)

    def _first(self, task: str) -> Inputs:
        """What one picture, or one sentence, gives a graph of the full bundle."""
        pictures, sentences = self.checks.pictures[:1], self.checks.sentences[:1]
        if task == "text":
            return text_inputs(self.source, sentences)[0]
        if task == "answer":
            return answer_inputs(self.model, pictures, sentences)[0]
        return picture_inputs(self.model, task, pictures)[0]

    def _milliseconds(self, bundle: Bundle, precision: Precision) -> tuple[float, float]:
        """Of a bundle and of the full one, in turn; the best of several rounds each."""
        both: list[tuple[Bundle, Precision]] = [(bundle, precision), (self.source, "fp32")]
        sides = [
            [(Engine(one, graph_of(one, task, wanted)), inputs) for task, inputs in self._inputs.items()]
            for one, wanted in both
        ]
        best = [float("inf")] * 2
        for _ in range(ROUNDS + 1):
            for place, side in enumerate(sides):
                began = time.perf_counter()
                for engine, inputs in side:
                    engine.run(**inputs)
                best[place] = min(best[place], time.perf_counter() - began)
        return 1000 * best[0], 1000 * best[1]


def graph_of(bundle: Bundle, task: str, precision: Precision) -> Graph:
    """A task's graph of the precision, or the one there is."""
    there = bundle.manifest.graphs[task]
    return there[precision] if precision in there else bundle.graph(task)


def lost(figures: dict[str, float]) -> float:
    """The loss that a graph's figures tell."""
    kept = figures["same_answers"] if "same_answers" in figures else figures["mean_cosine"]
    return max(0.0, 1 - kept)


def size(bundle: Bundle) -> float:
    """Megabytes of all files of a bundle, its manifest included."""
    return sum((bundle.path / file).stat().st_size for file in (MANIFEST, *bundle.manifest.files)) / MEGABYTE


def in_float(bundle: Bundle) -> tuple[str, ...]:
    """The tasks of a bundle that could have a graph in int8, and have none."""
    return tuple(task for task in TASKS if "int8" not in bundle.manifest.graphs.get(task, ("int8",)))
