"""What the tests of access share: signing keys and tokens, a key set's server, an OPA stand-in, and servers to ask."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from regopy import Interpreter

from open_autoglm.serving.access import AccessSettings

ISSUER, AUDIENCE = "https://login.example/", "open-autoglm"
RSA = rsa.generate_private_key(65537, 2048)
PRIVATE: dict[str, Any] = {
    "RS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def public_jwk(private: Any, id: str, **more: Any) -> dict[str, Any]:
    """The public key as an entry of a key set."""
    numbers: dict[str, Any]
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        numbers = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        numbers = jwt.algorithms.OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    numbers.pop("key_ops", None)
    return {**numbers, "kid": id, "use": "sig", **more}


def key_set(*entries: dict[str, Any]) -> str:
    return json.dumps({"keys": list(entries) or [public_jwk(key, name) for name, key in PRIVATE.items()]})


def claims(**changed: Any) -> dict[str, Any]:
    """What a good token says; None leaves a claim out."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "tenant": "default",  # whose index a server is started with
        "scope": "search ask",
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def token(algorithm: str = "RS256", headers: dict[str, Any] | None = None, key: Any = None, **changed: Any) -> str:
    sent = {name: value for name, value in {"kid": algorithm, **(headers or {})}.items() if value is not None}
    return jwt.encode(claims(**changed), key or PRIVATE[algorithm], algorithm, headers=sent)


def forged(header: Any, payload: Any, signature: bytes = b"") -> str:
    """A token put together by hand."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_settings(folder: Path, **changed: Any) -> AccessSettings:
    """Tokens signed with the keys above are let in."""
    (folder / "jwks.json").write_text(key_set())
    given = {"jwks": str(folder / "jwks.json"), "issuer": ISSUER, "audience": (AUDIENCE,)}
    return AccessSettings(**(given | changed))


class Answers:
    """How a server answers: bytes and a status, which a test may change, and how often it was asked."""

    def __init__(self, content: str = "") -> None:
        self.content, self.status, self.pause = content.encode(), 200, 0.0
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.respond: Callable[[str, bytes], bytes] | None = None


@contextmanager
def web_server(answers: Answers) -> Iterator[str]:
    """The address of a plain web server that gives those answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            answers.asked += 1
            time.sleep(answers.pause)
            content = answers.respond(self.path, body) if answers.respond else answers.content
            self.send_response(answers.status)
            for name, value in {"Content-Length": str(len(content)), **answers.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *parts: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *parts: object) -> None:
            pass  # a client that gave up waiting

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def opa_stand_in(policy: Path, answers: Answers | None = None) -> Iterator[str]:
    """The address of a server that speaks OPA's data API and evaluates the same Rego with regopy; it is no OPA."""
    interpreter, lock = Interpreter(), threading.Lock()
    interpreter.add_module(policy.name, policy.read_text())

    def respond(path: str, body: bytes) -> bytes:
        rule = path.removeprefix("/v1/data/").replace("/", ".")
        with lock:
            interpreter.set_input(json.loads(body)["input"])
            output = interpreter.query(f"data.{rule}")
        values = output.results[0].expressions if output.results else []
        return json.dumps({"result": values[0]} if values else {}).encode()

    answers = answers or Answers()
    answers.respond = answers.respond or respond
    with web_server(answers) as address:
        yield address
