"""The sensor that looks for failures in Dagster's storage, and tells each channel of them."""

import os
import time
from collections.abc import Collection, Mapping
from typing import Final

import dagster as dg
import msgspec

from pipeline.contract import Feed
from pipeline.errors import values_kept_out
from pipeline.operate.alerts.failures import Checks, Kind, Runs, Scene
from pipeline.operate.alerts.settings import Settings, read_settings
from pipeline.operate.alerts.state import State
from pipeline.operate.alerts.telling import Turn
from pipeline.operate.alerts.ticks import Ticks

_INTERVAL_SECONDS: Final = 30
# The daemon evaluates one sensor after the other: those of the feeds are not to wait for long.
_TICK_SECONDS: Final = 10.0


def alerts(feeds: Collection[Feed]) -> dg.Definitions:
    """The sensor `alerts`; it does nothing before a channel is set."""
    names = [feed.name for feed in feeds]

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people of runs, checks and ticks that failed: docs/alerts.md.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with values_kept_out(stage="alerts"):
            settings = read_settings(os.environ)
            if not settings.channels:
                return dg.SensorResult(skip_reason="no channel is set: docs/alerts.md")
            origin = context.code_location_origin
            scene = Scene(context.instance, origin.location_name if origin else None, names)
            return _tell(context, settings, scene)

    return dg.Definitions(sensors=[look])


def _tell(context: dg.SensorEvaluationContext, settings: Settings, scene: Scene) -> dg.SensorResult:
    kinds: dict[str, Kind] = {
        "runs": Runs(scene),
        "checks": Checks(scene, settings.warnings),
        "ticks": Ticks(scene),
    }
    states = _states(context.cursor, settings, kinds)
    now, until, lines = time.time(), time.monotonic() + _TICK_SECONDS, []
    for channel in settings.channels:
        turn = Turn(channel, states[channel.name], kinds, settings, now=now, until=until)
        lines.append(turn.work())
        for alert in turn.lost:
            lines.append(f"{channel.name}: gave up {alert.title}, run {alert.run_id}")
            context.log.error("%s", lines[-1])
    cursor = msgspec.json.encode(states).decode()
    return dg.SensorResult(skip_reason="; ".join(lines), cursor=cursor)


def _states(cursor: str | None, settings: Settings, kinds: Mapping[str, Kind]) -> dict[str, State]:
    """What each channel has been told; one that is new, or whose state cannot be read, begins now.

    What a channel that is not set any more was told is forgotten.
    """
    try:
        known = msgspec.json.decode(cursor or "{}", type=dict[str, State])
    except msgspec.MsgspecError:
        known = {}
    states = {each.name: known.get(each.name) or State({}) for each in settings.channels}
    for state in states.values():
        for name, kind in kinds.items():
            if name not in state.positions:
                state.positions[name] = kind.newest()
    return states
