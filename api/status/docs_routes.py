"""`/docs`: the API documentation. This process serves all files that the page needs."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from api.admission.idempotency import MAX_KEY_CHARS, accepts_idempotency_key

_ASSETS = "/docs/assets"
_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
    "description": "A repeated request with the same key gets the original response (`Idempotent-Replayed: true`). "
    "`422` for a different request, `409` while the first one is in progress.",
}


def add_docs_page(app: FastAPI) -> None:
    """Add the Swagger UI page. Its files come from an installed package, so browsers load nothing from elsewhere.

    The page does not store the API keys that users enter. `Idempotency-Key` is added to the documentation of POST
    routes, because only middleware reads this header.
    """
    describe_plainly = app.openapi

    def build_description() -> dict[str, Any]:
        whole = describe_plainly()
        for path, operations in whole["paths"].items():
            posted = operations.get("post")
            if (
                posted is not None
                and accepts_idempotency_key(path)
                and _KEY_PARAMETER not in posted.setdefault("parameters", [])
            ):
                posted["parameters"].append(_KEY_PARAMETER)
        return whole

    app.openapi = build_description  # type: ignore[method-assign]  # as FastAPI documents it
    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Leadline",
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
        )
