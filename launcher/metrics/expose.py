"""Samples in Prometheus' text format, by its own library. The only module that imports it."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from launcher.metrics.catalogue import LEDGER, METRICS
from launcher.metrics.measure import Sample


class Exposition(Collector):
    """The samples of one ledger.

    Args:
        ledger: Where it lies; a label of every series.
        samples: Of the metrics of the catalogue.
    """

    def __init__(self, ledger: str, samples: Iterable[Sample]) -> None:
        self._families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for metric in METRICS:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            labels = (LEDGER, *metric.labels)
            self._families[metric.name] = kind(metric.name, metric.help, labels=labels)
        for sample in samples:
            self._families[sample.metric].add_metric((ledger, *sample.labels), sample.value)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Family]:
        """The metrics, each with all of its samples."""
        yield from self._families.values()

    def text(self) -> str:
        """All of it."""
        return generate_latest(self._registry).decode()
