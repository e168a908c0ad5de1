"""What the service counts, for Prometheus; a registry of its own for each service."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)


class Metrics:
    """Counters, gauges and histograms; see ``/metrics`` for what each one is."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        prefix, registry = "llm_compiler_", self._registry
        self.requests = Counter(
            prefix + "requests",
            "Requests by route and status",
            ["route", "status"],
            registry=registry,
        )
        self.jobs = Counter(prefix + "jobs", "Jobs ended", ["verb", "state"], registry=registry)
        self.refusals = Counter(
            prefix + "refusals", "Requests and jobs refused", ["code"], registry=registry
        )
        self.cached = Counter(
            prefix + "cached_results", "Jobs answered from the cache", ["verb"], registry=registry
        )
        self.saved_bytes = Counter(
            prefix + "saved_bytes", "Bytes that optimize saved over clang -Oz", registry=registry
        )
        self.waiting = Gauge(prefix + "jobs_waiting", "Jobs that wait", registry=registry)
        self.running = Gauge(prefix + "jobs_running", "Jobs under way", registry=registry)
        self.cache_bytes = Gauge(prefix + "cache_bytes", "Results on disk", registry=registry)
        self.seconds = Histogram(
            prefix + "job_seconds",
            "Seconds of a job, without its wait",
            ["verb"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.wait_seconds = Histogram(
            prefix + "job_wait_seconds",
            "Seconds that a job waited",
            registry=registry,
            buckets=_SECONDS,
        )
        self.peak_bytes = Histogram(
            prefix + "job_peak_bytes",
            "Most resident memory of a job",
            registry=registry,
            buckets=[2**power for power in range(25, 33)],
        )

    def text(self) -> bytes:
        """Return all in Prometheus's text format."""
        return generate_latest(self._registry)
