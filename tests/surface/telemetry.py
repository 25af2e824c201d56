"""Describes metrics and spans."""

import re
from collections.abc import Iterable

from prometheus_client.metrics import Histogram, MetricWrapperBase
from prometheus_client.metrics_core import Metric

from tests.surface.source import Source, find_arguments, find_texts


def describe_metrics(counted: Iterable[MetricWrapperBase], read: Iterable[Metric] = ()) -> list[str]:
    """Describe each metric: name, type, labels, meaning and buckets. Those in `read` are read when they are asked for.

    A label is known of a metric that is read only where it has a sample.
    """
    blocks = [_counted(each) for each in counted]
    blocks += [
        _block(each.name, each.type, sorted({n for s in each.samples for n in s.labels}), each.documentation)
        for each in read
    ]
    return [line for block in sorted(blocks) for line in block]


def describe_spans(sources: Iterable[Source]) -> list[str]:
    """List the names of spans, variables as `{}`, and their attributes."""
    making = [source for source in sources if re.search(r"(?<!\.)\brecord_span\(|set_attribute", source.text)]
    names = find_arguments(making, "record_span", methods=False)
    attributes = find_texts(making, "gen_ai.") | find_texts(making, "leadline.")
    return [
        "Spans",
        *(f"    {name}" for name in sorted(names)),
        "Attributes",
        *(f"    {n}" for n in sorted(attributes)),
    ]


def _counted(metric: MetricWrapperBase) -> list[str]:
    labels = list(metric._labelnames)
    block = _block(metric._name, str(metric._type), labels, metric._documentation)
    if isinstance(metric, Histogram):
        block.append(f"    buckets {' '.join(f'{bound:g}' for bound in metric._upper_bounds)}")
    return block


def _block(name: str, kind: str, labels: Iterable[str], meaning: str) -> list[str]:
    return [f"{name} {kind} {{{', '.join(labels)}}}", f"    {meaning}"]
