"""The NLVR model's tokenizer: word pieces of its training sentences, lower case.

It knows sentences; it knows nothing about scenes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PIECES = 800
MOST_TOKENS = 64


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
