"""Gives events the contexts of traces, where traces are asked for."""

from dataclasses import replace

from pipeline.contract import Feed
from pipeline.messages import Event
from pipeline.produce.dispatch import BYTES, weigh
from pipeline.tracing.setting import find_tracing


def stamped(feed: Feed, event: Event) -> Event:
    """The event with a trace of its own; as it is where no traces are wanted."""
    tracing = find_tracing()
    if tracing is None or event.trace is not None:
        return event
    return fitting(tracing.created(feed, event))


def fitting(event: Event) -> Event:
    """The event, without its trace where it would be too large with it."""
    if event.trace is None or weigh(event) <= BYTES:
        return event
    return replace(event, trace=None)
