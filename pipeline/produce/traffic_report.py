"""What generated traffic tells of itself: a line a second, and a report at the end."""

from pipeline.produce.traffic import Sending, Tally


def line(elapsed: float, second: Tally) -> str:
    """One second of traffic, for people."""
    told = second.latencies.told()
    return (
        f"{elapsed:6.0f} s  {second.sent} sent  p50 {told['p50']:.1f} ms  p95 {told['p95']:.1f} ms"
        f"  p99 {told['p99']:.1f} ms  {second.refused} refused  {second.failed} failed"
    )


def second(tally: Tally) -> dict[str, object]:
    """The same, for machines."""
    return {
        "sent": tally.sent,
        "refused": tally.refused,
        "failed": tally.failed,
        "latency_ms": tally.latencies.told(),
    }


def report(
    sending: Sending, settings: dict[str, object], *, sqs_calls: int | None
) -> dict[str, object]:
    """The report, for machines; it holds counts and settings, and no value of any event.

    Args:
        sending: The traffic.
        settings: What was asked for.
        sqs_calls: Calls of SQS; None where another process makes them.
    """
    tally = sending.tally
    return {
        **settings,
        "due": sending.due,
        "sent": tally.sent,
        "refused": tally.refused,
        "failed": tally.failed,
        "unsent": sending.unsent,
        "why": dict(tally.why),
        "seconds": round(sending.seconds, 3),
        "asked_per_second": round(sending.asked, 2),
        "reached_per_second": round(sending.reached, 2),
        "latency_ms": tally.latencies.told(),
        "sqs_calls": sqs_calls,
        "sqs_calls_per_message": (
            round(sqs_calls / tally.sent, 4) if sqs_calls and tally.sent else None
        ),
    }
