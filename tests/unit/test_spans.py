"""What traces tell of runs, and the ids by which processes agree without talking."""

import re
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBasedTraceIdRatio
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ordinaut import spans, tracing
from ordinaut.spans import Span, Try
from tests.running import until

RUN = "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"
RUNS = [f"019ab0d2-7c1e-7cc3-98c4-{number:012x}" for number in range(2000)]


def span(run: str = RUN, *, role: str = "run") -> Span:
    return Span(run, role, role, 1.0, 2.0)


class Exporter(SpanExporter):
    """Keeps what it is given; waits before each batch as long as it is held."""

    def __init__(self) -> None:
        self.batches: list[Sequence[ReadableSpan]] = []
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.result = SpanExportResult.SUCCESS

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.free.wait(30)
        self.batches.append(batch)
        return self.result

    def shutdown(self) -> None:
        self.free.set()

    @property
    def count(self) -> int:
        return sum(map(len, self.batches))


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


@pytest.fixture
def collector(exporter: Exporter) -> Iterator[tracing.Collector]:
    collector = tracing.Collector(exporter, resource=Resource({}), sampler=ALWAYS_ON)
    yield collector
    exporter.free.set()
    collector.close()


def dropped() -> float:
    return REGISTRY.get_sample_value("ordinaut_spans_dropped_total") or 0.0


def test_ids_are_made_of_the_run_and_of_the_part_in_it() -> None:
    assert spans.trace_id(RUN) == spans.trace_id(RUN) != spans.trace_id(RUNS[0])
    assert spans.span_id(RUN, "run") != spans.span_id(RUN, "root") != spans.span_id(RUNS[0], "root")
    tries = [Try(RUN, "a", lease=lease, number=number) for lease in (1, 2) for number in (1, 2)]
    assert len({spans.span_id(RUN, role) for one in tries for role in (one.role, one.call_role)}) == 8


def test_the_header_is_that_of_w3c() -> None:
    header = spans.traceparent(RUN, "call", sampled=True)
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", header)
    assert header.split("-")[1] == f"{spans.trace_id(RUN):032x}"
    assert spans.traceparent(RUN, "call", sampled=False) == header[:-2] + "00"


def test_a_ratio_keeps_about_as_many_runs_and_everywhere_the_same(exporter: Exporter) -> None:
    kept = []
    for _process in range(2):
        collector = tracing.Collector(exporter, resource=Resource({}), sampler=ParentBasedTraceIdRatio(0.25))
        kept.append([run for run in RUNS if collector.is_sampled(run)])
        collector.close()

    assert kept[0] == kept[1]
    assert 400 < len(kept[0]) < 600


def test_what_is_recorded_is_sent(collector: tracing.Collector, exporter: Exporter) -> None:
    collector.record([span(), span(role="root")])

    until(lambda: exporter.count == 2, what="two spans")
    (first, second) = [one for batch in exporter.batches for one in batch]
    assert (first.name, first.start_time, first.end_time) == ("run", 1_000_000_000, 2_000_000_000)
    assert first.context is not None
    assert second.context is not None
    assert first.context.trace_id == second.context.trace_id == spans.trace_id(RUN)


def test_a_full_queue_drops_and_counts_and_holds_up_nobody(collector: tracing.Collector, exporter: Exporter) -> None:
    exporter.free.clear()
    before = dropped()
    collector.record(span() for _ in range(tracing.BATCH))
    assert exporter.entered.wait(10)

    collector.record(span() for _ in range(tracing.WAITING + 100))

    assert dropped() - before == 100
    exporter.free.set()
    until(lambda: exporter.count == tracing.BATCH + tracing.WAITING, what="all others")


def test_the_end_waits_for_what_has_gathered_and_not_for_a_collector_that_hangs(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time = tracing.Collector(exporter, resource=Resource({}), sampler=ALWAYS_ON)
    in_time.record([span()])
    in_time.close()
    assert exporter.count == 1

    monkeypatch.setattr(tracing, "FLUSH", 0.1)
    exporter.free.clear()
    hanging = tracing.Collector(exporter, resource=Resource({}), sampler=ALWAYS_ON)
    hanging.record([span()])
    closing = threading.Thread(target=hanging.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_what_the_collector_refuses_is_counted(collector: tracing.Collector, exporter: Exporter) -> None:
    exporter.result = SpanExportResult.FAILURE
    before = dropped()

    collector.record([span()])

    until(lambda: dropped() - before == 1, what="the span to be counted")


def test_times_are_those_of_the_database(collector: tracing.Collector) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)

    collector.synchronize(ahead)

    assert abs(collector.now() - ahead.timestamp()) < 5


def test_a_protocol_that_is_not_spoken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    with capture_logs() as told, tracing.exporting("worker"):
        assert spans.receiver is None

    assert [(line["log_level"], line.get("wanted")) for line in told] == [("warning", "grpc")]


def test_a_setting_that_opentelemetry_refuses_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "many")

    with capture_logs() as told, tracing.exporting("worker"):
        assert spans.receiver is None

    (line,) = told
    assert line["log_level"] == "warning"
    assert "OTEL_ATTRIBUTE_COUNT_LIMIT" in line["reason"]


def test_a_sampler_that_does_not_exist_is_told_and_the_service_has_a_name(
    monkeypatch: pytest.MonkeyPatch, exporter: Exporter
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "now_and_then")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=prod")
    monkeypatch.setattr(tracing, "OTLPSpanExporter", lambda: exporter)

    with capture_logs() as told, tracing.exporting("worker"):
        assert spans.receiver is not None
        spans.receiver.record([span()])

    assert spans.receiver is None
    assert "now_and_then" in next(line["reason"] for line in told if line["log_level"] == "warning")
    (sent,) = exporter.batches[0]
    assert sent.resource.attributes["service.name"] == "ordinaut-worker"
    assert sent.resource.attributes["k8s.cluster.name"] == "prod"


def test_a_run_that_did_not_succeed_says_why_in_one_word() -> None:
    told = {"run": RUN, "namespace": "n", "task": "t", "trigger": "manual", "attempt": 1, "started": 5.0, "ended": 4.0}

    failed = spans.over(**told, phase="Failed", reason="StepFailed")
    lost = spans.over(**told, phase="Cancelled", reason=None)
    fine = spans.over(**told, phase="Succeeded", reason=None)

    assert [one.error for one in (failed, lost, fine)] == ["StepFailed", "Cancelled", None]
    # Clocks may differ by a little; no span ends before it begins.
    assert fine.ended == fine.started == 5.0
