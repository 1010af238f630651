"""Routes from one body to one answer are served without FastAPI's machinery; nobody can tell by the answers."""

import asyncio
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, params

from app import errors
from app.json_route import JsonRoute
from app.thread_pools import thread_pools
from tests.app.serving import JSON, Served
from worker.specs.shape import Anything, Spec

VALIDATE = "/v1/policies/validate"


class Body(Spec):
    value: Anything = None
    deep: dict[str, int] | None = None


class Answer(Spec):
    value: Any
    thread: int


def _refuse() -> None:
    raise HTTPException(403)


async def asked(*, depends: Sequence[params.Depends] = (), **content: Any) -> list[httpx.Response]:
    """Ask a route that is called directly, and one that FastAPI calls, the same."""
    app, router = FastAPI(), APIRouter(route_class=JsonRoute)
    settings = SimpleNamespace(max_body_bytes=100_000)
    app.state.services = SimpleNamespace(settings=settings, pools=thread_pools("sqlite", 2))

    @router.post("/direct")
    def direct(body: Body) -> Answer:
        return Answer(value=body.value, thread=threading.get_ident())

    @router.post("/usual")
    async def usual(body: Body) -> Answer:
        return Answer(value=body.value, thread=threading.get_ident())

    app.include_router(router, dependencies=depends)
    errors.install(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return [await client.post(f"/{path}", **content) for path in ("direct", "usual")]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"json": {"value": [1, 2.5, "é", None, True]}}, 200),
        ({"json": {}}, 200),
        ({"json": {"valeu": 1}}, 422),
        ({"json": {"deep": {"a": "b"}}}, 422),
        ({"json": []}, 422),
        ({"json": 3}, 422),
        ({"content": "null", "headers": JSON}, 422),
        ({"content": "", "headers": JSON}, 400),
        ({"content": "{", "headers": JSON}, 400),
        ({"content": "{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"json": {"value": "x" * 200_000}}, 413),
    ],
)
def test_the_answers_are_those_of_fastapi(content: dict[str, Any], status: int) -> None:
    direct, usual = asyncio.run(asked(**content))
    assert direct.status_code == usual.status_code == status
    assert direct.json() == usual.json()
    assert direct.headers["content-type"] == usual.headers["content-type"]


def test_a_long_body_holds_up_nobody() -> None:
    short, _ = asyncio.run(asked(json={"value": "short"}))
    long, _ = asyncio.run(asked(json={"value": "x" * 5000}))
    assert short.json()["thread"] == threading.get_ident() != long.json()["thread"]


def test_what_an_including_router_asks_first_is_asked() -> None:
    answers = asyncio.run(asked(depends=[Depends(_refuse)], json={}))
    assert [answer.status_code for answer in answers] == [403, 403]


def test_numbers_that_are_none_stay_named(served: Served) -> None:
    scale = '{"class_name": "FixedLossScale", "config": {"loss_scale_value": Infinity}}'
    policy = f'{{"class_name": "PolicyV1", "config": {{"name": "float16", "loss_scale": {scale}}}}}'
    answer = served.http.post(VALIDATE, content=f'{{"policy": {policy}}}', headers=JSON).json()
    named = {"loss_scale_value": None, "nonfinite": {"loss_scale_value": "inf"}}
    assert answer["policy"]["loss_scale"]["config"] == named
