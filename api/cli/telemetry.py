"""Exports traces to an OpenTelemetry collector if the environment specifies one."""

import os

from api.cli.environment import SettingsError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def start_tracing(role: str) -> None:
    """Start exporting spans in the background as the service `leadline-<role>`. Does nothing if no endpoint is set.

    Raises `SettingsError` if an endpoint is set but OpenTelemetry is not installed.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"{' or '.join(_ENDPOINTS)} is set, but OpenTelemetry is not installed.",
            hint="Run `pip install './leadline[otel]'`, or unset the variable.",
        ) from error
    attributes = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or f"leadline-{role}"}
    provider = TracerProvider(resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
