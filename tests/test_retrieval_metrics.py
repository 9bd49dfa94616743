"""Metrics of whole rankings against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from open_autoglm.evaluation.retrieval import average_precision, average_precisions, retrieval


@pytest.mark.parametrize(
    ("relevant", "total", "expected"),
    [
        ([1, 0, 1, 0], 2, (1 / 1 + 2 / 3) / 2),
        ([0, 1, 1], 2, (1 / 2 + 2 / 3) / 2),
        ([1, 0, 0], 2, 1 / 2),  # the second relevant item was never found
        ([1, 1], 2, 1),
        ([0, 0, 0], 1, 0),
    ],
)
def test_average_precision_of_one_ranking(relevant: list[int], total: int, expected: float) -> None:
    assert average_precision(np.array(relevant, bool), total) == pytest.approx(expected)


def test_average_precisions_of_scores() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6], [0.1, 0.4, 0.3, 0.2]])
    relevant = np.array([[1, 0, 1, 0], [1, 0, 1, 0]], bool)
    assert average_precisions(scores, relevant) == pytest.approx([5 / 6, (1 / 2 + 2 / 4) / 2])


def test_means_over_queries() -> None:
    found = retrieval([[3, 1, 2], [1, 2, 3], []], [{3, 2}, {3}, {1}])
    assert found.mean_average_precision == pytest.approx((5 / 6 + 1 / 3 + 0) / 3)
    assert found.precision_at_1 == pytest.approx(1 / 3)
