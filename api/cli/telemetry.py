"""Sends spans to a collector, where the environment names one in OpenTelemetry's own variables."""

import os

from api.cli.environment import SettingsError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def start_tracing(role: str) -> None:
    """Begin to send this process's spans, in the background, as service `leadline-<role>`; nothing without an endpoint.

    Raises `SettingsError` where an endpoint is named and the packages are missing.
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
            f"{' or '.join(_ENDPOINTS)} is set, and OpenTelemetry's packages are missing.",
            hint="`pip install 'leadline[otel]'`, or unset it.",
        ) from error
    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or f"leadline-{role}"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
