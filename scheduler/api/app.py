"""The HTTP API: routes, errors, limits and the document that describes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware

from scheduler.api import (
    artifacts,
    attempts,
    credits,
    docs,
    fairness,
    jobs,
    money,
    operator,
    packages,
    policy,
    problems,
    registry,
    shares,
    system,
    tokens,
)
from scheduler.api.deps import Deps
from scheduler.api.edge import Edge

API = "v1"
ROUTERS = (
    jobs.router,
    shares.router,
    fairness.router,
    policy.router,
    registry.router,
    money.router,
    credits.router,
    tokens.router,
    packages.router,
    artifacts.router,
    operator.router,
    attempts.router,
    system.router,
)


def _operation_id(route: APIRoute) -> str:
    return route.name


def create_app(deps: Deps, pages: Sequence[APIRouter] = ()) -> FastAPI:
    """The API over ``deps``, and pages beside it.

    It has no background work and no state of its own but a count of uploads by user.
    """
    app = FastAPI(
        title="Dure",
        version=API,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        middleware=[Middleware(Edge, deps=deps)],
    )
    app.state.deps = deps
    app.state.uploads = Counter()
    problems.install(app)
    for router in (*ROUTERS, *pages):
        app.include_router(router)
    docs.install(app)
    return app
