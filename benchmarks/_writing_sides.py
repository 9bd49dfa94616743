"""Two ways to write the same number of tokens about the same regions: this runtime, and Hugging Face's ``generate``.

Decoders of equal size with random weights: how fast one is does not depend on them. None may end early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim
from transformers import (
    BertConfig,
    BertLMHeadModel,
    DynamicCache,
    EncoderDecoderCache,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
)

from open_autoglm.bundle import Bundle, Graph, Manifest
from open_autoglm.compression.export import Exported, to_onnx
from open_autoglm.compression.export_writing import export_decode
from open_autoglm.modeling.fusion_settings import FEATURE_WIDTH
from open_autoglm.modeling.generation import Generator, TextDecoder, TorchSteps
from open_autoglm.modeling.generator_settings import GeneratorSettings
from open_autoglm.runtime.describing import GraphSteps
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.generating import Rules, generate
from open_autoglm.runtime.generation_settings import GenerationSettings
from open_autoglm.runtime.lexicon import END, NEVER, START

Write = Callable[[], list[int]]


@dataclass(frozen=True)
class Size:
    """Of a decoder, what it looks at, and what it writes: by default that of ``recipes/grocery-describe.yaml``."""

    width: int = 256
    heads: int = 4
    layers: int = 3
    vocabulary: int = 767
    regions: int = 14
    tokens: int = 64


class Prepare(nn.Module):
    """Region features [1, k, 768] to what every layer looks at."""

    def __init__(self, decoder: TextDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, regions: Tensor) -> Tensor:
        return self.decoder.prepare(regions)


def sides(size: Size, threads: int, folder: Path) -> dict[str, Write]:
    """By name, what writes ``size.tokens`` tokens greedily from a start alone, with the regions' keys still to make."""
    torch.manual_seed(0)
    return ours(size, threads, folder) | {
        "hf_bert": theirs(
            BertLMHeadModel(
                BertConfig(
                    vocab_size=size.vocabulary,
                    hidden_size=size.width,
                    num_hidden_layers=size.layers,
                    num_attention_heads=size.heads,
                    intermediate_size=4 * size.width,
                    max_position_embeddings=size.tokens + 1,
                    is_decoder=True,
                    add_cross_attention=True,
                )
            ),
            size,
        ),
        "hf_gpt2": theirs(
            GPT2LMHeadModel(
                GPT2Config(
                    vocab_size=size.vocabulary,
                    n_embd=size.width,
                    n_layer=size.layers,
                    n_head=size.heads,
                    n_positions=size.tokens + 1,
                    add_cross_attention=True,
                )
            ),
            size,
        ),
    }


def ours(size: Size, threads: int, folder: Path) -> dict[str, Write]:
    """The exported decoder in this runtime, and the same module in torch, choosing with the same code."""
    settings = GeneratorSettings(
        width=size.width,
        heads=size.heads,
        layers=size.layers,
        most_tokens=size.tokens,
        tokens=tuple(range(size.vocabulary - 3)),
    )
    writer = Generator(1280, 0, settings).eval()
    decoder = writer.decoder
    regions = torch.randn(1, size.regions, FEATURE_WIDTH)
    shapes = {"regions": {1: Dim("k", min=1, max=1000)}}
    prepare = Exported(to_onnx(Prepare(decoder), (regions,), shapes, ["context"]), {}, {})
    stub: Any = SimpleNamespace(writer=writer)
    engines = [
        engine(name, exported, threads, folder)
        for name, exported in (("prepare", prepare), ("decode", export_decode(stub)))
    ]
    rules = Rules.fitting(END, (*NEVER, END), size.tokens, 0, GenerationSettings())

    def runtime() -> list[int]:
        context = engines[0].run(regions=regions.numpy())
        return list(generate(GraphSteps(engines[1], context, size.tokens), [START], rules).tokens)

    @torch.no_grad()
    def eager() -> list[int]:
        mask = torch.ones(1, size.regions, dtype=torch.bool)
        return list(generate(TorchSteps(decoder, decoder.prepare(regions), mask), [START], rules).tokens)

    return {"runtime": runtime, "torch": eager}


def engine(name: str, exported: Exported, threads: int, folder: Path) -> Engine:
    """A graph with its weights inside, as the runtime runs it."""
    onnx.save(exported.proto, folder / f"{name}.onnx")
    manifest = Manifest(name="stub", space="", dimension=1, views=1, preprocessing={}, graphs={})
    return Engine(Bundle(folder, manifest), Graph(f"{name}.onnx", {}, {}, {}), threads)


def theirs(model: PreTrainedModel, size: Size) -> Write:
    """Hugging Face's greedy ``generate`` with its caches, on encoder states of the decoder's own width."""
    model.eval()
    config: Any = model.config
    states, mask = torch.randn(1, size.regions, size.width), torch.ones(1, size.regions)
    start = torch.zeros(1, 1, dtype=torch.long)

    @torch.no_grad()
    def write() -> list[int]:
        found = model.generate(
            start,
            attention_mask=torch.ones_like(start),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            # A decoder on its own gets a cache for its own tokens only.
            past_key_values=EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config)),
            max_new_tokens=size.tokens,
            min_new_tokens=size.tokens,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=1,
        )
        return np.asarray(found[0, 1:]).tolist()

    return write
