"""Sentence Transformers' side of ``sentences.py``: its ONNX backend over a text tower that lies in a folder.

    python benchmarks/_sentences_onnx.py FOLDER THREADS

It runs in the peers' environment. Each line that it reads is a precision and texts as JSON; it answers with the seconds
that ``encode`` took and the vectors.
"""

from __future__ import annotations

import json
import sys
import time

import onnxruntime
from sentence_transformers import SentenceTransformer, export_dynamic_quantized_onnx_model

folder, threads = sys.argv[1], int(sys.argv[2])


def opened(file: str) -> SentenceTransformer:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    given = {"provider": "CPUExecutionProvider", "file_name": file, "session_options": options, "subfolder": "onnx"}
    return SentenceTransformer(folder, backend="onnx", device="cpu", model_kwargs=given)


models = {"fp32": opened("model.onnx")}
export_dynamic_quantized_onnx_model(models["fp32"], "avx512_vnni", folder)
models["int8"] = opened("model_qint8_avx512_vnni.onnx")
print("ready", flush=True)
for line in sys.stdin:
    precision, texts = json.loads(line)
    before = time.perf_counter()
    vectors = models[precision].encode(texts, batch_size=len(texts), normalize_embeddings=True)
    print(json.dumps([time.perf_counter() - before, vectors.tolist()]), flush=True)
