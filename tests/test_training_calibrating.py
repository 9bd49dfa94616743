"""What a trained bundle's scores mean, from the pictures that its training kept back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import open_autoglm
from open_autoglm.bundle import amend
from open_autoglm.data import DataSettings, Records, open_source
from open_autoglm.runtime.calibration import NONE_OF_THESE
from open_autoglm.runtime.decoding import ImageLimits
from open_autoglm.training.calibrating import calibration

ROOT = Path(__file__).parent.parent
BASE = ROOT / "models" / "open-autoglm-base"


@pytest.fixture(scope="module")
def kept() -> Records:
    records = open_source(DataSettings(str(ROOT / "samples" / "samples.csv")))
    return records.select(list(range(0, len(records), 6)))


def test_a_bundle_learns_where_to_cut(kept: Records, tmp_path: Path) -> None:
    bundle = shutil.copytree(BASE, tmp_path / "bundle")
    amend(bundle, calibration={})
    facts = calibration(bundle, "align", kept, ImageLimits(), seed=0)
    assert set(facts["fits"]) == {"whole", "best_view"}
    amend(bundle, calibration=facts)
    model = open_autoglm.load(bundle)
    shown = kept[0]
    nonsense = "a diagram of a tax return"
    own, other = model.embed_texts([shown.captions[0], nonsense])
    (views,) = model.embed_prepared(model.prepare(shown.picture)[None])  # type: ignore[arg-type]
    cut = model.cutoff(np.stack([own, other]))
    assert (views @ own).max() > cut[0] and (views @ other).max() < cut[1]
    assert 0 < model.classify(shown.picture, [nonsense])[NONE_OF_THESE] < 1  # type: ignore[arg-type]


def test_pictures_that_match_every_caption_tell_nothing(kept: Records) -> None:
    assert calibration(BASE, "align", kept.select([0]), ImageLimits(), seed=0) == {}
