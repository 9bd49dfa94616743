"""Looks over classes and the batch: imbalance, classes that only one split has, too few negatives or repeats.

It knows labels; it knows nothing about pictures or captions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from open_autoglm.data import Records

from .preflight_finding import BatchPlan, Finding

_IMBALANCE = 20  # times more pictures in the largest class than in the smallest
_NEGATIVES = 63  # fewer than a batch of 64 has, and contrastive learning gets slow and noisy
_CLASHES = 0.1  # share of a batch that is no negative because it has the same label
_REPEATS = 0.5  # pictures of the same label that a picture meets in a batch on average
_QUEUE = 0.1  # share of the pictures that a queue may hold before it repeats the batch


def check_batch(name: str, records: Records, plan: BatchPlan) -> Iterator[Finding]:
    """Findings on the split that is trained on."""
    size = plan.batch_size
    if len(records) < size:
        yield Finding(
            "too few pictures",
            "error",
            f"{name} has {len(records):,} pictures and a batch {size:,}.",
            f"Set optimisation.batch_size to {max(1, len(records) // 2)} or less, or add data.",
            len(records),
        )
        return
    shares = np.unique(records.labels, return_counts=True)[1] / len(records)
    meets = float((size - 1) * (shares**2).sum())
    if plan.needs_repeats and meets < _REPEATS:
        yield Finding(
            "too few repeats for triplets",
            "warning",
            f"In a batch of {size:,} a picture of {name} meets {meets:.2f} others of its label on average.",
            "Raise the batch size, or take an objective that needs none, such as contrastive.",
        )
    if not plan.needs_repeats and meets > _CLASHES * size:
        yield Finding(
            "few labels for the batch",
            "warning",
            f"{name} has {len(shares):,} labels: {meets / size:.0%} of a batch of {size:,} are no negatives.",
            "Lower optimisation.batch_size to about the number of labels and set data.distinct_labels, or add more "
            "varied captions.",
        )
    if size - 1 + plan.queue < _NEGATIVES:
        yield Finding(
            "small batch",
            "warning",
            f"Each picture is compared with {size - 1 + plan.queue:,} others.",
            "Raise optimisation.batch_size to 64 or more; optimisation.chunk makes that fit into memory, accumulation "
            "does not help; or take queue_contrastive.",
        )
    if plan.queue > _QUEUE * len(records):
        yield Finding(
            "large queue",
            "warning",
            f"The queue of {plan.queue:,} is more than a tenth of the {len(records):,} pictures of {name}.",
            f"Set its size to {int(_QUEUE * len(records))} or less: a longer one has old vectors of the batch itself.",
        )


def check_classes(splits: Mapping[str, Records]) -> Iterator[Finding]:
    """Findings on classes; the first split is the one that is trained on."""
    counts = {
        name: Counter(record.label for record in records if record.label is not None)
        for name, records in splits.items()
    }
    first = next(iter(splits), None)
    if first is None or not counts[first]:
        return
    ordered = counts[first].most_common()
    (most, many), (least, few) = ordered[0], ordered[-1]
    if many > _IMBALANCE * few:
        yield Finding(
            "class imbalance",
            "warning",
            f"{first} has {many:,} pictures of {most!r} and {few:,} of {least!r}.",
            "Add pictures of the rare classes, or set data.distinct_labels, so that large ones do not fill batches.",
            len(ordered),
            tuple(f"{label}: {count:,}" for label, count in ordered[:-4:-1]),
        )
    for name in list(splits)[1:]:
        if unknown := sorted(set(counts[name]) - set(counts[first])):
            yield Finding(
                "classes without training",
                "warning",
                f"{len(unknown):,} classes of {name} have no picture in {first}.",
                "Add pictures of them, or read the figures as zero-shot.",
                len(unknown),
                tuple(unknown[:5]),
            )
