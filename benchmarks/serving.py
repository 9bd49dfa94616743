"""What the API costs and carries: beside LitServe and infinity, over the bare runtime, and through 10,000 requests.

Embeddings of one 640 x 480 JPEG a request, 1 and 16 at once, of the same picture tower and weights: LitServe runs the
graph in ONNX Runtime (fp32), after Pillow and NumPy as its users write it; infinity runs the network in torch eager.
Ours runs in fp32, and once more in int8, its default. All answers are compared before anything is timed. The peers are
installed in ``build/peers``. The client runs on the same cores. Servers that are not measured are stopped
meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import csv
import http.client
import io
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
from _peers import PEERS, PYTHON, install_peers
from _record import record
from PIL import Image

import open_autoglm
from open_autoglm.compression.folding import inlined
from open_autoglm.runtime.engine import available_cores
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.similarity import unit

ROOT = Path(__file__).parent.parent
PATH = "/v1/embeddings"
CLOSE = 0.002  # two runs of a float graph on other batch sizes differ by less
ALIKE = 0.99  # the cosine of one picture's vectors, though each server decodes and resizes in its own way


@dataclass
class Server:
    """A process that serves, and the bodies of its requests."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    bodies: list[bytes]
    rates: dict[int, list[float]] = field(default_factory=dict)
    seconds: dict[int, list[float]] = field(default_factory=dict)

    def send(self, what: signal.Signals) -> None:
        os.killpg(self.process.pid, what)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short, and beside the peers that are installed already")
    quick = parser.parse_args().quick
    repeats, seconds, requests = (2, 3.0, 600) if quick else (5, 8.0, 10_000)
    started = time.perf_counter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Ended."))  # so that no server stays behind
    if not quick:
        install_peers()
    pictures = photos(32)
    model = open_autoglm.load(precision="fp32")
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [stack.enter_context(autoglm(pictures, precision)) for precision in ("fp32", "int8")]
        peers = []
        if PYTHON.exists():
            peers = [stack.enter_context(one(folder, pictures, model)) for one in (litserve, infinity)]
        for server in (servers[0], *peers):
            check(server, model, pictures)
        figures |= against(servers, peers, repeats, seconds)
        for server, alone in ((servers[0], model), (servers[1], open_autoglm.load(precision="int8"))):
            figures |= overhead(server, alone, pictures, 3 if quick else 20)
        servers[0].send(signal.SIGCONT)
        figures |= mixed(servers[0], model, pictures, requests)
        figures |= shortened(model)
    settings = {
        "repeats": repeats,
        "seconds_each": seconds,
        "mixed_requests": requests,
        "servers": [server.name for server in (*servers, *peers)],
        "quick": quick,
    }
    record("serving", settings, figures, time.perf_counter() - started)


def photos(count: int) -> list[bytes]:
    """The samples as 640 x 480 JPEGs."""
    made = []
    for path in sorted((ROOT / "samples").rglob("*.jpg"))[:count]:
        file = io.BytesIO()
        Image.open(path).convert("RGB").resize((640, 480)).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made


def uri(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


@contextmanager
def running(name: str, command: Sequence[object], port: int, bodies: list[bytes], **more: str) -> Iterator[Server]:
    """A server that answers, in a process group of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more
    process = subprocess.Popen(
        [str(part) for part in command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server = Server(name, port, process, bodies)
    try:
        wait_for(server)
        yield server
    finally:
        for what in (signal.SIGCONT, signal.SIGKILL):
            server.send(what)
        process.wait()


def wait_for(server: Server) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if ask(server.port, server.bodies[0])[0] == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{server.name} does not answer.")


def autoglm(pictures: Sequence[bytes], precision: str) -> Any:
    """This project's server, without a cache, which would answer the same pictures from memory."""
    port = free_port()
    command = [sys.executable, "-m", "open_autoglm", "serve", "--port", port, "--cache", "off"]
    bodies = [body({"input": uri(one)}) for one in pictures]
    return running(f"autoglm_{precision}", command, port, bodies, AUTOGLM_SERVE_WORKERS__PRECISION=precision)


def litserve(folder: Path, pictures: Sequence[bytes], model: Model) -> Any:
    """LitServe with the image graph in one file."""
    graph, port = folder / "image.onnx", free_port()
    onnx.save(inlined(model.bundle, model.bundle.graph("image", "fp32")), graph)
    command = [PYTHON, ROOT / "benchmarks" / "_serving_litserve.py", graph, port, available_cores()]
    return running("litserve", command, port, [body({"input": uri(one)}) for one in pictures])


def infinity(folder: Path, pictures: Sequence[bytes], model: Model) -> Any:
    """infinity with the same tower, by its torch engine."""
    tower, port = folder / "tower", free_port()
    quiet = {"HF_HUB_OFFLINE": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1"}
    subprocess.run([sys.executable, ROOT / "benchmarks" / "_serving_tower.py", tower], check=True)
    command = [PEERS / "bin" / "infinity_emb", "v2", "--model-id", tower, "--served-model-name", "tower"]
    command += ["--trust-remote-code", "--engine", "torch", "--device", "cpu", "--no-bettertransformer", "--no-compile"]
    command += ["--no-model-warmup", "--url-prefix", "/v1", "--host", "127.0.0.1", "--port", port]
    bodies = [body({"model": "tower", "input": uri(one), "modality": "image"}) for one in pictures]
    return running("infinity", command, port, bodies, HF_MODULES_CACHE=str(folder / "modules"), **quiet)


def against(ours: Sequence[Server], peers: Sequence[Server], repeats: int, seconds: float) -> dict[str, float]:
    """Requests a second and milliseconds of each server, in turns."""
    servers = (*ours, *peers)
    for server in servers:
        load(server, 4, 2.0)
        server.send(signal.SIGSTOP)
    for _ in range(repeats):
        for at_once in (1, 16):
            for server in servers:
                server.send(signal.SIGCONT)
                taken, rate = load(server, at_once, seconds)
                server.send(signal.SIGSTOP)
                server.rates.setdefault(at_once, []).append(rate)
                server.seconds.setdefault(at_once, []).extend(taken)
    figures: dict[str, float] = {}
    for at_once in (1, 16):
        for server in servers:
            name = f"{server.name}_{at_once}_at_once"
            figures[f"{name}_requests_per_second"] = statistics.median(server.rates[at_once])
            figures[f"{name}_p50_ms"] = 1000 * float(np.percentile(server.seconds[at_once], 50))
            figures[f"{name}_p99_ms"] = 1000 * float(np.percentile(server.seconds[at_once], 99))
        for server, peer in itertools.product(ours, peers):
            ratios = [mine / its for mine, its in zip(server.rates[at_once], peer.rates[at_once], strict=True)]
            figures[f"{server.name}_times_{peer.name}_{at_once}_at_once"] = statistics.median(ratios)
    return figures


def load(server: Server, at_once: int, seconds: float) -> tuple[list[float], float]:
    """So many clients ask one thing after another: the seconds of each request, and requests a second."""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    def client(number: int) -> None:
        turn = number
        with Line(server.port) as line:
            while time.perf_counter() < until:
                before = time.perf_counter()
                line.ask(server.bodies[turn % len(server.bodies)])
                taken.append(time.perf_counter() - before)
                turn += at_once

    began = time.perf_counter()
    together([lambda number=number: client(number) for number in range(at_once)])  # type: ignore[misc]
    return taken, len(taken) / (time.perf_counter() - began)


class Line:
    """A connection on which one request follows another, and which costs the client as little as may be."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def ask(self, content: bytes) -> None:
        """Sends a body and reads the reply, which must be a 200 with its length in its head."""
        about = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
        self._socket.sendall(f"POST {PATH} HTTP/1.1\r\n{about}\r\n\r\n".encode() + content)
        reply = b""
        while b"\r\n\r\n" not in reply:
            reply += self._some()
        head, _, reply = reply.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), (head, reply[:300])
        left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) - len(reply)
        while left > 0:
            left -= len(self._some())

    def _some(self) -> bytes:
        part = self._socket.recv(2**18)
        assert part, "the server hung up"
        return part


def overhead(server: Server, model: Model, pictures: Sequence[bytes], rounds: int) -> dict[str, float]:
    """One photo, and one sentence, after another through the runtime alone and through the API, so many in turns.

    Each turn's median is compared with that of the other beside it, as the machine's speed changes by the minute. What
    comes first after a turn has to bring another process's weights back into the caches, and is not counted.
    """
    texts = [f"a photo of {number} apples" for number in range(24)]
    sentences = [body({"input": text}) for text in texts]
    kinds: Mapping[str, tuple[Callable[[int], object], Sequence[bytes]]] = {
        "photo": (lambda number: model.embed_images([pictures[number]]), server.bodies),
        "sentence": (lambda number: model.embed_texts([texts[number]]), sentences),
    }
    figures = {}
    server.send(signal.SIGCONT)
    with Line(server.port) as line:
        for kind, (alone, bodies) in kinds.items():
            bare, served = list[float](), list[float]()
            for _ in range(rounds):
                bare.append(statistics.median([timed(partial(alone, number)) for number in range(24)][4:]))
                served.append(statistics.median([timed(partial(line.ask, content)) for content in bodies[:24]][4:]))
            about = f"{server.name}_{kind}"
            figures[f"{about}_bare_p50_ms"] = statistics.median(bare)
            figures[f"{about}_served_p50_ms"] = statistics.median(served)
            over = [slow - quick for slow, quick in zip(served, bare, strict=True)]
            figures[f"{about}_overhead_p50_ms"] = statistics.median(over)
    server.send(signal.SIGSTOP)
    return figures


def check(server: Server, model: Model, pictures: Sequence[bytes]) -> None:
    """What is measured is right. Raises SystemExit."""
    for content, expected in zip(server.bodies, model.embed_images(pictures), strict=True):
        found = json.loads(ask(server.port, content)[1])["data"][0]["embedding"]
        if unit(np.array(found)) @ expected < ALIKE:
            raise SystemExit(f"{server.name} answers with other vectors.")


def shortened(model: Model) -> dict[str, float]:
    """How often a sample's label finds it among the first five, with all numbers of the vectors and with fewer."""
    with (ROOT / "samples" / "samples.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = model.embed_images([ROOT / "samples" / row["path"] for row in rows])
    texts = model.embed_texts([row["label"] for row in rows])
    figures = {}
    for kept in (model.dimension, model.dimension // 2, model.dimension // 8):
        scores = unit(texts[:, :kept]) @ unit(images[:, :kept]).T
        better = (scores > np.diag(scores)[:, None]).sum(axis=1)
        figures[f"recall_at_5_of_{kept}_dimensions"] = float((better < 5).mean())
    return figures


@dataclass(frozen=True)
class Case:
    """A request and what is to come of it."""

    body: bytes
    status: int
    vector: np.ndarray | None = None


def mixed(server: Server, model: Model, pictures: Sequence[bytes], count: int) -> dict[str, float]:
    """Texts and pictures, one in twenty bad, 8 at once: wrong answers, and MiB that the server's processes grow by."""
    texts = [f"a photo of {number} apples" for number in range(200)]
    good_texts = [
        Case(body({"input": one}), 200, vector) for one, vector in zip(texts, model.embed_texts(texts), strict=True)
    ]
    good_pictures = [
        Case(content, 200, vector) for content, vector in zip(server.bodies, model.embed_images(pictures), strict=True)
    ]
    chance = random.Random(0)
    bad = bad_cases(pictures[0])

    def next_case() -> Case:
        draw = chance.random()
        return chance.choice(bad if draw < 0.05 else good_pictures if draw < 0.25 else good_texts)

    cases = [next_case() for _ in range(count)]
    warm = count // 5
    wrong = send_all(server, cases[:warm])
    before = memory(server)
    wrong += send_all(server, cases[warm:])
    return {
        "mixed_requests": count,
        "mixed_bad_requests": sum(case.status != 200 for case in cases),
        "mixed_wrong_answers": wrong,
        "mixed_memory_growth_mib": memory(server) - before,
    }


def bad_cases(picture: bytes) -> list[Case]:
    file = io.BytesIO()
    Image.new("1", (14_000, 12_000)).save(file, "PNG")
    return [
        Case(b"{", 422),
        Case(body({"input": []}), 422),
        Case(body({"input": ""}), 400),
        Case(body({"input": "a", "model": "none"}), 404),
        Case(body({"input": "a", "dimensions": 10_000}), 400),
        Case(body({"input": uri(picture)[:-1001]}), 400),
        Case(body({"input": uri(picture[: len(picture) // 2])}), 400),
        Case(body({"input": uri(b"no picture")}), 400),
        Case(body({"input": uri(file.getvalue())}), 400),
    ]


def send_all(server: Server, cases: Sequence[Case]) -> int:
    """How many answers were not what they had to be."""
    wrong = [0] * 8

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        for case in cases[number::8]:
            status, content = ask_on(connection, case.body)
            wrong[number] += not is_right(case, status, content)
        connection.close()

    together([lambda number=number: client(number) for number in range(8)])  # type: ignore[misc]
    return sum(wrong)


def is_right(case: Case, status: int, content: bytes) -> bool:
    if status != case.status:
        return False
    if case.vector is None:
        return bool(json.loads(content)["error"]["message"])
    return bool(np.abs(np.array(json.loads(content)["data"][0]["embedding"]) - case.vector).max() < 10 * CLOSE)


def memory(server: Server) -> float:
    """MiB of all its processes that no other process shares."""
    tree = psutil.Process(server.process.pid)
    return sum(one.memory_full_info().uss for one in (tree, *tree.children(recursive=True))) / 2**20


def together(work: Sequence[Callable[[], None]]) -> None:
    failed: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def body(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()


def ask(port: int, content: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        return ask_on(connection, content)
    finally:
        connection.close()


def ask_on(connection: http.client.HTTPConnection, content: bytes) -> tuple[int, bytes]:
    connection.request("POST", PATH, content, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    return reply.status, reply.read()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    before = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - before)


if __name__ == "__main__":
    main()
