"""The sensor that looks for failures in Dagster's storage, and tells each channel of them."""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import dagster as dg
import msgspec

from pipeline.contract import Feed
from pipeline.errors import SettingsError, values_kept_out
from pipeline.operate.alerts.failures import Checks, Kind, Runs, Scene
from pipeline.operate.alerts.misset import Misset
from pipeline.operate.alerts.settings import Settings, read_sound
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
            settings, wrong = read_sound(os.environ)
            if not settings.channels and wrong:
                raise wrong[0]
            if not settings.channels:
                # What fails until one is set is told to nobody: that one begins then.
                return dg.SensorResult(skip_reason="no channel is set: docs/alerts.md", cursor="{}")
            for error in wrong:
                context.log.error("%s", error)
            origin = context.code_location_origin
            scene = Scene(context.instance, origin.location_name if origin else None, names)
            return _tell(context, settings, scene, wrong)

    return dg.Definitions(sensors=[look])


def _tell(
    context: dg.SensorEvaluationContext,
    settings: Settings,
    scene: Scene,
    wrong: Sequence[SettingsError],
) -> dg.SensorResult:
    now, until, lines = time.time(), time.monotonic() + _TICK_SECONDS, []
    kinds: dict[str, Kind] = {
        "runs": Runs(scene),
        "checks": Checks(scene, settings.warnings),
        "ticks": Ticks(scene),
        "settings": Misset(wrong, now),
    }
    states = _states(context.cursor, settings, kinds, keep=bool(wrong))
    trouble: dict[str, Exception] = {}
    for channel in settings.channels:
        turn = Turn(channel, states[channel.name], kinds, settings, now=now, until=until)
        lines.append(turn.work())
        trouble |= turn.trouble
        for alert in turn.lost:
            lines.append(f"{channel.name}: gave up {alert.title}, run {alert.run_id}")
            context.log.error("%s", lines[-1])
    lines += [f"set wrongly: {error.what}" for error in wrong]
    for name, error in trouble.items():
        lines.append(f"{name} could not be looked at ({type(error).__name__})")
        context.log.error("%s", lines[-1])
    cursor = msgspec.json.encode(states).decode()
    if trouble and cursor == context.cursor:
        raise next(iter(trouble.values()))  # there is nothing to remember: the tick may fail
    return dg.SensorResult(skip_reason="; ".join(lines), cursor=cursor)


def _states(
    cursor: str | None, settings: Settings, kinds: Mapping[str, Kind], *, keep: bool
) -> dict[str, State]:
    """What each channel has been told; one that is new, or whose state cannot be read, begins now.

    Args:
        cursor: Of the sensor.
        settings: Which channels there are.
        kinds: The kinds of failures.
        keep: Whether another one may only be set wrongly; else what it was told is forgotten.
    """
    try:
        known = msgspec.json.decode(cursor or "{}", type=dict[str, State])
    except msgspec.MsgspecError:
        known = {}
    states = {each.name: known.get(each.name) or State({}) for each in settings.channels}
    if keep:
        states = known | states
    for state in states.values():
        for name, kind in kinds.items():
            if name not in state.positions:
                state.positions[name] = kind.newest()
    return states
