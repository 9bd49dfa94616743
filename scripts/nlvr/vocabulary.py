"""Makes the NLVR model's tokenizer: word pieces of its training sentences, lower case.

.venv/bin/python scripts/nlvr/vocabulary.py build/nlvr/train.parquet --to build/nlvr/tokenizer
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PIECES = 800
MOST_TOKENS = 64


def main() -> None:
    """Reads the sentences and writes the tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="train.parquet of make.py")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()
    sentences = pq.read_table(arguments.data, columns=["sentence"])["sentence"].unique().to_pylist()
    write_tokenizer(sentences, arguments.to)
    print(f"{len(sentences):,} sentences, at most {PIECES} word pieces: {arguments.to}")


def write_tokenizer(sentences: Iterable[str], folder: Path) -> None:
    """Word pieces (1609.08144); a misspelt word becomes pieces and letters."""
    pad, unknown, first, last = SPECIAL
    made = Tokenizer(models.WordPiece(unk_token=unknown))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789", *".,'\"-()/:;?!"]
    trainer = trainers.WordPieceTrainer(vocab_size=PIECES, special_tokens=list(SPECIAL), initial_alphabet=letters)
    made.train_from_iterator(sentences, trainer)
    ends = [(first, made.token_to_id(first)), (last, made.token_to_id(last))]
    made.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=ends)
    PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=pad,
        unk_token=unknown,
        cls_token=first,
        sep_token=last,
        model_max_length=MOST_TOKENS,
    ).save_pretrained(folder)


if __name__ == "__main__":
    main()
