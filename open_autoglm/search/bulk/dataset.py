"""The Lance dataset that bulk work fills: a row a picture, usable or not, and the parts that are finished.

A part's rows appear together or not at all, and never twice. It knows nothing about models or where pictures lie.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import IndexStoreError
from ..halves import as_floats
from ..records import Skipped, shown_path
from .address import lance, options, said_plainly

FORMAT = 1
FACTS = b"open_autoglm"
USABLE = "reason IS NULL"
READ_AT_ONCE = 512
NAMED_AT_ONCE = 1000  # ids in one filter
TIDY_EVERY = 64  # commits, each of which leaves a list of all files behind
KEPT = timedelta(hours=1)  # how long who reads an earlier state goes on seeing it


@dataclass(frozen=True)
class DatasetFacts:
    """What a dataset is: whose vectors it holds, [views, dimension] a picture, and of which source.

    ``parts`` and ``pictures`` are those of the whole source; ``digest`` is the source's.
    """

    model: str
    bundle: str
    space: str
    views: int
    dimension: int
    source: str
    digest: str
    part_size: int
    parts: int
    pictures: int
    format: int = FORMAT


@dataclass(frozen=True)
class Row:
    """A picture as it is stored; ``vectors`` float16 [views, dimension] is None where it has a ``reason``."""

    id: int
    part: int
    key: bytes
    size: int
    mtime_ns: int
    sha256: bytes | None = None
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    metadata: str = "{}"
    vectors: NDArray[np.float16] | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Written:
    """The files with a part's rows, not yet of the dataset: JSON that Lance makes fragments of."""

    part: int
    fragments: tuple[str, ...]
    rows: int


class Dataset:
    """An opened dataset. Every method may raise IndexStoreError where it cannot be reached, read or written."""

    kind = "dataset"  # as sentences call it

    def __init__(self, address: str, opened: Any, facts: DatasetFacts) -> None:
        self.address = address
        self.facts = facts
        self._opened = opened
        self._commits = 0

    @classmethod
    def create(cls, address: str, facts: DatasetFacts) -> Dataset:
        """An empty dataset. IndexStoreError where there is one already."""
        package = lance()
        schema = arrow_schema(facts)
        with said_plainly(address):
            opened = package.write_dataset(
                schema.empty_table(), address, schema=schema, mode="create", storage_options=options(address)
            )
        return cls(address, opened, facts)

    @classmethod
    def open(cls, address: str) -> Dataset:
        """The dataset as it is now. IndexStoreError where there is none, or one of another program."""
        package = lance()
        with said_plainly(address):
            opened = package.dataset(address, storage_options=options(address))
        facts = json.loads((opened.schema.metadata or {}).get(FACTS, b"{}"))
        if facts.get("format", 0) > FORMAT:
            raise IndexStoreError(
                f"The dataset {shown_path(address)} has format {facts['format']}, newer than this program's {FORMAT}: "
                "upgrade open-autoglm."
            )
        try:
            return cls(address, opened, DatasetFacts(**facts))
        except TypeError as error:
            raise IndexStoreError(
                f"The dataset {shown_path(address)} was not made by 'autoglm embed': choose another address."
            ) from error

    @classmethod
    def exists(cls, address: str) -> bool:
        """Whether there is a dataset, whoever made it."""
        package = lance()
        try:
            with said_plainly(address):
                package.dataset(address, storage_options=options(address))
        except IndexStoreError as error:
            if "was not found" in str(error.__cause__):
                return False
            raise
        return True

    @property
    def path(self) -> str:
        """Where it lies."""
        return self.address

    @property
    def model(self) -> str:
        """The name of the model that made it."""
        return self.facts.model

    @property
    def space(self) -> str:
        """The model's embedding space."""
        return self.facts.space

    @property
    def bundle(self) -> str:
        """Where the model's bundle lay."""
        return self.facts.bundle

    def finished(self) -> set[int]:
        """The numbers of the parts whose rows are there."""
        with said_plainly(self.address):
            parts = self._opened.to_table(columns=["part"]).column("part").unique()
        return set(parts.to_pylist())

    def commit(self, written: Written) -> None:
        """Makes a part's rows appear. IndexStoreError where another program has changed the dataset meanwhile."""
        package = lance()
        with said_plainly(self.address):
            there = [fragment.metadata for fragment in self._opened.get_fragments()]
            new = [package.fragment.FragmentMetadata.from_json(text) for text in written.fragments]
            free = max((fragment.id for fragment in there), default=-1) + 1
            for number, fragment in enumerate(new, free):
                fragment.id = number
            # An Append would be carried over to whatever others have stored meanwhile, even the same part; a Merge
            # is of this very version or fails.
            whole = package.LanceOperation.Merge(there + new, self._opened.lance_schema)
            try:
                self._opened = package.LanceDataset.commit(
                    self._opened, whole, read_version=self._opened.version, max_retries=0
                )
            except package.commit.CommitConflictError as error:
                raise IndexStoreError(
                    f"Another program is writing to the dataset {shown_path(self.address)}: let it finish, then run "
                    "the same command again."
                ) from error
            self._commits += 1
            if self._commits % TIDY_EVERY == 0:
                self._opened.cleanup_old_versions(older_than=KEPT)

    def count(self) -> int:
        """How many pictures have vectors."""
        with said_plainly(self.address):
            return int(self._opened.count_rows(USABLE))

    def skipped(self) -> list[Skipped]:
        """The pictures that could not be used, in the order of the source."""
        with said_plainly(self.address):
            table = self._opened.to_table(columns=["id", "path", "reason"], filter="reason IS NOT NULL")
        rows = sorted(table.to_pylist(), key=lambda row: int(row["id"]))
        return [Skipped(row["path"], row["reason"]) for row in rows]

    def vectors(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """All vectors, some pictures at a time: ids [n] and float32 [n, views, dimension]."""
        for batch in self._batches(["id", "vectors"], USABLE):
            yield batch.column("id").to_numpy(), as_floats(self._shaped(batch))

    def rows(self, ids: Sequence[int] | None = None, *, with_vectors: bool = False) -> Iterator[Row]:
        """The usable pictures, or those of the ids that are; with their vectors where asked for."""
        columns = [name for name in Row.__dataclass_fields__ if name != "vectors" or with_vectors]
        wanted = [USABLE]
        if ids is not None:
            parts = (ids[start : start + NAMED_AT_ONCE] for start in range(0, len(ids), NAMED_AT_ONCE))
            wanted = [f"{USABLE} AND id IN ({', '.join(map(str, part))})" for part in parts]
        for batch in (batch for chosen in wanted for batch in self._batches(columns, chosen)):
            vectors = self._shaped(batch) if with_vectors else [None] * len(batch)
            plain = batch.select([name for name in columns if name != "vectors"]).to_pylist()
            for row, vector in zip(plain, vectors, strict=True):
                yield Row(**row, vectors=vector)

    def _batches(self, columns: list[str], chosen: str) -> Iterator[Any]:
        with said_plainly(self.address):
            yield from self._opened.to_batches(columns=columns, filter=chosen, batch_size=READ_AT_ONCE)

    def _shaped(self, batch: Any) -> NDArray[np.float16]:
        flat: NDArray[np.float16] = batch.column("vectors").flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(batch), self.facts.views, self.facts.dimension)


def write_part(address: str, facts: DatasetFacts, part: int, rows: Iterable[Row]) -> Written:
    """Writes a part's rows beside the dataset, where nobody sees them before they are committed."""
    package = lance()
    table = arrow_table(facts, list(rows))
    with said_plainly(address):
        fragments = package.fragment.write_fragments(
            table, address, schema=table.schema, storage_options=options(address)
        )
    return Written(part, tuple(json.dumps(fragment.to_json()) for fragment in fragments), len(table))


def arrow_schema(facts: DatasetFacts) -> Any:
    """The columns; a picture's vectors lie in one, view after view."""
    import pyarrow as pa

    columns = [
        ("id", pa.int64()),  # the picture's place in the source, from 1
        ("part", pa.int32()),
        ("key", pa.binary()),  # the path's bytes
        ("path", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.binary()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("taken", pa.string()),
        ("metadata", pa.string()),  # a JSON object of scalars
        ("vectors", pa.list_(pa.float16(), facts.views * facts.dimension)),
        ("reason", pa.string()),  # why the picture could not be used
    ]
    return pa.schema(columns, metadata={FACTS: json.dumps(asdict(facts)).encode()})


def arrow_table(facts: DatasetFacts, rows: Sequence[Row]) -> Any:
    """Rows as Arrow takes them."""
    import pyarrow as pa

    schema = arrow_schema(facts)
    nothing = np.zeros((facts.views, facts.dimension), np.float16)
    vectors = np.stack([nothing if row.vectors is None else row.vectors for row in rows])
    columns: dict[str, Any] = {
        name: [getattr(row, name) for row in rows] for name in Row.__dataclass_fields__ if name != "vectors"
    }
    columns["path"] = [shown_path(row.key) for row in rows]
    columns["vectors"] = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1)),
        facts.views * facts.dimension,
        mask=pa.array([row.vectors is None for row in rows]),
    )
    return pa.table(columns, schema=schema)
