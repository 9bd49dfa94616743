"""Training data: sources of pictures and captions, records, splits, and batches for the model.

It never imports search, cache or serving, and knows nothing about how a model is trained.

    records = open_source(DataSettings("train.csv"))
    train, validation = split(records, share=0.1)
    dataset = PairDataset(train, TrainTransform(processor.image_processor.preprocessing), seed=0)
    loader = pair_loader(dataset, PairSampler(train.labels, 256), PairCollator(processor))
"""

from .boxes import BoxedPicture, BoxedPictures, BoxSettings, load_boxes
from .csv_table import read_csv
from .descriptions import DescriptionCollator, DescriptionDataset
from .folder import read_folder
from .huggingface import read_huggingface
from .jsonl import read_jsonl
from .loading import Progress, load
from .pairs import Pair, PairCollator, PairDataset, pair_loader
from .parquet import read_parquet
from .pictures import Picture, Span, source_of
from .questions import QuestionCollator, QuestionDataset, Questions
from .records import Problem, Record, Records
from .region_pairs import RegionPair, RegionPairCollator, RegionPairDataset
from .sampling import Draw, PairSampler
from .settings import DataSettings, Join
from .splitting import split
from .tables import Row, Source, Table
from .transforms import Augmentation, EvalTransform, TrainTransform, Transform
from .webdataset import read_webdataset

SOURCES: dict[str, Source] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "folder": read_folder,
    "webdataset": read_webdataset,
    "huggingface": read_huggingface,
}


def open_source(settings: DataSettings, progress: Progress | None = None) -> Records:
    """Reads what ``settings`` names; ``progress`` is told the number of rows read so far.

    Raises DataError for data that is missing, unreadable, or has too many bad rows; SettingError for a bad setting;
    MissingExtra where a format's package is not installed.
    """
    return load(settings, SOURCES, progress)


def open_boxes(settings: BoxSettings) -> BoxedPictures:
    """Reads a table of pictures and boxes; raises as ``open_source`` does."""
    return load_boxes(settings, SOURCES)


__all__ = [
    "SOURCES",
    "Augmentation",
    "BoxSettings",
    "BoxedPicture",
    "BoxedPictures",
    "DataSettings",
    "DescriptionCollator",
    "DescriptionDataset",
    "Draw",
    "EvalTransform",
    "Join",
    "Pair",
    "PairCollator",
    "PairDataset",
    "PairSampler",
    "Picture",
    "Problem",
    "QuestionCollator",
    "QuestionDataset",
    "Questions",
    "Record",
    "Records",
    "RegionPair",
    "RegionPairCollator",
    "RegionPairDataset",
    "Row",
    "Source",
    "Span",
    "Table",
    "TrainTransform",
    "Transform",
    "open_boxes",
    "open_source",
    "pair_loader",
    "source_of",
    "split",
]
