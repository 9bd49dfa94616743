"""What tenants may ask for: counted by item, refused with when to come again, and in a Redis that several share."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from access_parts import bearer, token, token_settings
from fastapi import Depends, FastAPI, Request, Response
from serving_parts import serve_app

from open_autoglm.errors import SettingError
from open_autoglm.serving.access import AccessSettings, Caller, Quota, permits, spend
from open_autoglm.serving.access.install import install
from open_autoglm.serving.access.quotas import Quotas
from open_autoglm.serving.access.refusal import Refused

MayEmbed = Annotated[Caller, Depends(permits("embed"))]
CLIENT = httpx.Client()


def application(folder: Path, **changed: Any) -> FastAPI:
    """A route that embeds as many pictures as it is told to, one that answers by itself, and one that fails."""
    app = FastAPI()
    install(app, token_settings(folder, **changed))

    @app.post("/v1/embeddings")
    async def embed(request: Request, caller: MayEmbed, pictures: int = 0, tokens: int = 0) -> dict[str, int]:
        await spend(request, caller, pictures=pictures, tokens=tokens)
        return {"pictures": pictures}

    @app.get("/v1/raw")
    async def raw(caller: MayEmbed) -> Response:
        return Response(b"bytes")

    return app


def embed(address: str, tenant: str = "shop", **cost: int) -> httpx.Response:
    headers = bearer(token(tenant=tenant, scope="embed"))
    return CLIENT.post(f"{address}/v1/embeddings", params=cost, headers=headers)


def test_a_batch_counts_as_many_single_requests_do(tmp_path: Path) -> None:
    app = application(tmp_path, quota=Quota(pictures_per_day=6))
    with serve_app(app) as address:
        assert [embed(address, "one", pictures=1).status_code for _ in range(7)] == [200] * 6 + [429]
        assert [embed(address, "many", pictures=3).status_code for _ in range(3)] == [200] * 2 + [429]
        assert embed(address, "many", pictures=0).status_code == 200  # what costs nothing goes on


def test_one_refused_counts_nothing(tmp_path: Path) -> None:
    app = application(tmp_path, quota=Quota(pictures_per_day=6, tokens_per_day=100))
    with serve_app(app) as address:
        assert embed(address, pictures=2, tokens=90).status_code == 200
        assert embed(address, pictures=4, tokens=20).status_code == 429
        assert embed(address, pictures=4, tokens=10).status_code == 200


def test_a_refusal_says_when_to_come_again(tmp_path: Path) -> None:
    app = application(tmp_path, quota=Quota(tokens_per_day=100))
    with serve_app(app) as address:
        assert embed(address, tokens=100).status_code == 200
        reply = embed(address, tokens=50)
    assert reply.status_code == 429 and reply.json()["error"]["type"] == "QuotaExhausted"
    seconds = int(reply.headers["retry-after"])
    assert 1 <= seconds <= 2 * 86_400 and f"try again in {seconds} s" in reply.json()["error"]["message"]
    assert reply.headers["ratelimit"].startswith('"tokens-day";r=0;t=')
    assert reply.headers["ratelimit-policy"] == '"tokens-day";q=100;w=86400'


def test_what_can_never_be_allowed_says_so(tmp_path: Path) -> None:
    with serve_app(application(tmp_path, quota=Quota(pictures_per_day=5))) as address:
        reply = embed(address, pictures=6)
        assert reply.status_code == 429 and "smaller parts" in reply.json()["error"]["message"]
        assert embed(address, pictures=5).status_code == 200


def test_every_reply_says_how_much_is_left(tmp_path: Path) -> None:
    quota = Quota(requests_per_second=100, pictures_per_day=9)
    with serve_app(application(tmp_path, quota=quota)) as address:
        counted = embed(address, pictures=2).headers
        assert counted["ratelimit-policy"] == '"requests-second";q=100;w=1, "pictures-day";q=9;w=86400'
        first, second = counted["ratelimit"].split(", ")
        assert first.startswith('"requests-second";r=') and second.startswith('"pictures-day";r=7;t=')
        by_itself = httpx.get(f"{address}/v1/raw", headers=bearer(token(scope="embed")))
        assert by_itself.headers["ratelimit-policy"] == '"requests-second";q=100;w=1'
        forbidden = httpx.get(f"{address}/v1/raw", headers=bearer(token(scope="ask")))
        assert forbidden.status_code == 403 and "ratelimit" in forbidden.headers
        assert "ratelimit" not in httpx.get(f"{address}/v1/raw").headers


def test_requests_a_second() -> None:
    quotas = Quotas(AccessSettings(quota=Quota(requests_per_second=2)))

    async def work() -> None:
        with pytest.raises(Refused, match="2 requests a second"):
            for _ in range(5):
                await quotas.spend("shop", {"requests": 1})
        await asyncio.sleep(2.0)
        await quotas.spend("shop", {"requests": 2})

    asyncio.run(work())


def test_one_tenant_uses_up_nothing_of_anothers_and_may_have_a_quota_of_its_own(tmp_path: Path) -> None:
    quotas = {"large": Quota(pictures_per_day=5), "free": Quota()}
    with serve_app(application(tmp_path, quota=Quota(pictures_per_day=1), quotas=quotas)) as address:
        for tenant, allowed in (("shop", 1), ("rival", 1), ("large", 5), ("free", 7)):
            statuses = [embed(address, tenant, pictures=1).status_code for _ in range(7)]
            assert statuses.count(200) == allowed, tenant


def test_who_comes_again_when_told_to_is_let_in() -> None:
    quotas = Quotas(AccessSettings(quota=Quota(requests_per_second=4)))

    async def work() -> None:
        for _ in range(4):
            try:
                await quotas.spend("shop", {"requests": 3})
            except Refused as refusal:
                await asyncio.sleep(float((refusal.headers or {})["Retry-After"]))
                await quotas.spend("shop", {"requests": 3})

    asyncio.run(work())


@pytest.mark.parametrize("value", [0, -1])
def test_a_quota_of_nothing_is_a_mistake(value: int) -> None:
    with pytest.raises(SettingError, match="pictures_per_day"):
        Quota(pictures_per_day=value)


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[None]:
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


@needs_redis
def test_servers_that_share_a_redis_count_together(tmp_path: Path, port: int) -> None:
    shared = {"quota": Quota(pictures_per_day=6), "quota_store": f"redis://127.0.0.1:{port}"}
    apps = [application(tmp_path, **shared) for _ in range(2)]
    with redis_server(tmp_path, port), serve_app(apps[0]) as one, serve_app(apps[1]) as other:
        statuses = [embed(address, pictures=2).status_code for address in (one, other, one, other)]
    assert statuses == [200, 200, 200, 429]


@needs_redis
def test_while_redis_is_gone_each_server_counts_by_itself(
    tmp_path: Path, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    settings = AccessSettings(quota=Quota(pictures_per_day=3), quota_store=f"redis://127.0.0.1:{port}")

    async def work() -> None:
        quotas = Quotas(settings)
        with redis_server(tmp_path, port):
            await quotas.spend("shop", {"pictures": 2})
        await quotas.spend("shop", {"pictures": 3})
        for _ in range(4):
            with pytest.raises(Refused, match="3 pictures a day"):
                await quotas.spend("shop", {"pictures": 1})
        await quotas.close()

    asyncio.run(work())
    assert caplog.text.count("does not answer") == 1
