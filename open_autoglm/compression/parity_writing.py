"""How close the graphs of a decoder that writes are to their model: its numbers, and every token of its texts.

It knows both; it knows nothing about bundles' other graphs.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from open_autoglm.bundle import Bundle, Graph
from open_autoglm.errors import BundleError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.modeling.generation import TorchSteps
from open_autoglm.runtime.describing import GraphSteps
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.generating import Rules, generate
from open_autoglm.runtime.generation_settings import GenerationSettings
from open_autoglm.runtime.lexicon import END, NEVER, OWN, START

from .parity import furthest, normalised, smooth_pictures

PICTURES, REGIONS = 4, 6
BEAMS = 3


def writing_parity(
    model: OpenAutoGLM, processor: OpenAutoGLMProcessor, bundle: Bundle, context: Graph, decode: Graph
) -> dict[str, dict[str, float]]:
    """Graphs against model on random boxes of smooth random pictures: numbers, and texts, greedily and by beams.

    Each picture's text begins with a prompt one token longer. ``equal_tokens``: how many there are. BundleError where
    a number is too far from the model's, or a token is another.
    """
    preprocessing, writer = processor.image_processor.preprocessing, model.writer
    pixels = smooth_pictures(PICTURES, preprocessing.height, preprocessing.width)
    random = np.random.default_rng(0)
    corners = np.sort(random.random((PICTURES, REGIONS, 2, 2), dtype=np.float32), axis=2)
    boxes, mask = corners.reshape(PICTURES, REGIONS, 4), np.ones((PICTURES, REGIONS), np.bool_)
    with torch.no_grad():
        there = torch.from_numpy(mask)
        features = model.vision.features(normalised(pixels, preprocessing))
        wanted = writer.decoder.prepare(writer.regions(features, torch.from_numpy(boxes), there))
    found = Engine(bundle, context).run(pixels=pixels, boxes=boxes, mask=mask)
    engine, apart, equal = Engine(bundle, decode), 0.0, 0
    room = writer.settings.most_tokens
    for row in range(PICTURES):
        prompt = [START, *random.integers(OWN, len(writer.lexicon), min(row, room - 1)).tolist()]
        sides = (
            partial(TorchSteps, writer.decoder, wanted[row, None], there[row, None]),
            partial(GraphSteps, engine, wanted[row, None].numpy(), room),
        )
        ours, theirs = (side().step(np.array([prompt], np.int64)) for side in sides)
        apart = max(apart, furthest(ours, theirs, decode))
        for beams in (1, BEAMS):
            rules = Rules.fitting(END, NEVER, room, len(prompt) - 1, GenerationSettings(num_beams=beams))
            texts = [generate(side(), prompt, rules).tokens for side in sides]
            if texts[0] != texts[1]:
                raise BundleError(
                    f"The graph {decode.file} differs from its model: of {len(texts[0])} tokens it wrote others."
                )
            equal += len(texts[0])
    return {
        "context": {"max_difference": furthest(wanted.numpy(), found, context)},
        "decode": {"max_difference": apart, "equal_tokens": float(equal)},
    }
