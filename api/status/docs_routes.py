"""`/openapi.json` and `/docs`: the API documentation. This process serves all files that the page needs."""

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api.status.description import ApiDescription

_ASSETS = "/docs/assets"
_DOCUMENT = "/openapi.json"


def add_docs_page(app: FastAPI) -> None:
    """Add the OpenAPI document, and the Swagger UI page, which shows it.

    The page's files come from an installed package, so browsers load nothing from elsewhere. The page does not store
    the API keys that users enter.
    """
    description = ApiDescription(app)
    app.openapi = lambda: description.document  # type: ignore[method-assign]  # as FastAPI documents it
    app.mount(_ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="docs-assets")

    def document(request: Request) -> Response:
        headers = {"Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(description.compressed_json, headers=headers, media_type="application/json")
        return Response(description.json, headers=headers, media_type="application/json")

    # A plain route: the document is no operation of the API, and needs neither a scope nor checks of parameters.
    app.add_route(_DOCUMENT, document, include_in_schema=False)

    @app.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=_DOCUMENT,
            title="Leadline",
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
        )
