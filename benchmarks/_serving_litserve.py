"""LitServe's side of ``serving.py``: the same image graph and weights, with Pillow and NumPy before it.

    python benchmarks/_serving_litserve.py GRAPH PORT THREADS

It runs in an environment of its own, where this project is not installed.
"""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime
from PIL import Image

GRAPH, PORT, THREADS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PIXELS = 512


class Embeddings(litserve.LitAPI):
    """Takes ``{"input": "data:image/jpeg;base64,..."}``; answers in OpenAI's shape."""

    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(GRAPH, options, providers=["CPUExecutionProvider"])

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads annotations: none is JSON
        content = base64.b64decode(request["input"].partition(",")[2])
        picture = Image.open(io.BytesIO(content)).convert("RGB").resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
        return np.asarray(picture)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, x: np.ndarray) -> np.ndarray:
        vectors: np.ndarray = self.session.run(["vectors"], {"pixels": x})[0]
        return vectors[:, 0]

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": output.tolist()}]}


if __name__ == "__main__":
    api = Embeddings(max_batch_size=8, batch_timeout=0.01, api_path="/v1/embeddings")
    litserve.LitServer(api, accelerator="cpu", timeout=60).run(
        host="127.0.0.1", port=PORT, log_level="warning", generate_client_file=False
    )
