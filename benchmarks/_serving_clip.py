"""Makes the CLIP that infinity serves in ``serving.py``: random weights, about as costly as the base model's tower.

    python benchmarks/_serving_clip.py FOLDER

It runs in the peers' environment. A 384-wide vision transformer of 9 layers sees 196 patches: 16 million weights and
about 3.3 billion multiplications a picture, to the base tower's 3.6 billion.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizerFast

folder = Path(sys.argv[1])
vision = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 9,
    "num_attention_heads": 6,
    "patch_size": 16,
    "image_size": 224,
}
text = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 6}
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
pieces = [*alphabet, *(letter + "</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
vocabulary = {piece: number for number, piece in enumerate(pieces)}
text |= {"vocab_size": len(vocabulary), "bos_token_id": vocabulary[pieces[-2]], "eos_token_id": vocabulary[pieces[-1]]}
CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=512)).save_pretrained(folder)
(folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
(folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
tokenizer = CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)
