"""LangChain document loaders as sources. The operator permits each loader, because its code runs in the worker."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ingest.sources.errors import LoaderNotPermittedError, SourceOptionsError
from ingest.sources.port import Source, SourceContext, SourceKind


class LoaderOptions(BaseModel):
    """Options of a LangChain document loader."""

    model_config = ConfigDict(title="LangChain loader")

    loader: str = Field(
        title="Loader",
        description="The import path of the loader, such as `langchain_community.document_loaders.ArxivLoader`. The "
        "operator of the service decides which loaders are permitted.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        title="Arguments",
        description='The arguments of the loader, for example `{"query": "pumps"}`.',
    )
    secret_arguments: SecretStr = Field(
        SecretStr("{}"),
        title="Secret arguments",
        description='Further arguments that are credentials, as JSON, for example `{"api_key": "secret"}`.',
    )
    max_documents: int = Field(
        100_000,
        title="Maximum number of documents",
        ge=1,
        description="The maximum number of documents. A larger source is not synchronized.",
    )


def _build_source(options: LoaderOptions, context: SourceContext) -> Source:
    from ingest.sources.loader_source import LoaderSource

    # guard: source-permitted-loader
    if options.loader not in context.loaders:
        permitted = ", ".join(sorted(context.loaders)) or "none"
        raise LoaderNotPermittedError(
            f"The loader {options.loader!r} is not permitted. Permitted loaders: {permitted}.",
            hint="Ask the operator to add it to `LEADLINE_SOURCE_LOADERS`.",
        )
    return LoaderSource(options, parse_secret_arguments(options), context)


def parse_secret_arguments(options: LoaderOptions) -> dict[str, Any]:
    """Parse the arguments that are credentials. Raises `SourceOptionsError` without showing them."""
    try:
        found = json.loads(options.secret_arguments.get_secret_value() or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SourceOptionsError('`secret_arguments` is not a JSON object, such as {"api_key": "secret"}.')
    return found


LOADER = SourceKind("langchain", LoaderOptions, _build_source)
