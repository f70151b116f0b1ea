"""Builds that tell people too much, too often, or nothing at all."""

from typing import Final

from broken_builds.build import Build, Edit, Oracle

_TELLING: Final = "pipeline/operate/alerts/telling.py"
_WORDING: Final = "pipeline/operate/alerts/wording.py"
_TEST: Final = "test_alerts.py"

BUILDS: Final = (
    Build.of(
        "alert-not-deduplicated",
        "tells of the same failure each time",
        Oracle.ERROR,
        test=f"{_TEST}::test_the_same_failure_is_told_once_an_hour_and_then_counted",
        edits=(
            Edit(
                _TELLING,
                "        if (known := repeats.get(alert.digest)) is not None:\n",
                "        if (known := repeats.get(alert.identity)) is not None:\n",
            ),
        ),
    ),
    Build.of(
        "alert-passed-over",
        "goes on to the next failure before the last one is delivered",
        Oracle.ERROR,
        test=f"{_TEST}::test_a_dead_webhook_loses_nothing_and_is_not_hammered",
        edits=(
            Edit(
                _TELLING,
                "                self._take(name, failure)\n"
                "                positions[name] = failure.position\n",
                "                positions[name] = failure.position\n"
                "                self._take(name, failure)\n",
            ),
        ),
    ),
    Build.of(
        "alert-tried-for-ever",
        "tries the first alert for ever, and never comes to the others",
        Oracle.RECOVERY,
        test=f"{_TEST}::test_after_many_tries_one_is_given_up_and_that_is_said",
        edits=(
            Edit(
                _TELLING,
                "            if state.tries < TRIES:\n",
                "            if state.tries < 10 * TRIES:\n",
            ),
        ),
    ),
    Build.of(
        "alert-at-every-tick",
        "tries what was refused again at once",
        Oracle.RECOVERY,
        test=f"{_TEST}::test_a_dead_webhook_loses_nothing_and_is_not_hammered",
        edits=(
            Edit(
                _TELLING,
                "                state.next_try = self._now + pause\n",
                "                state.next_try = self._now\n",
            ),
        ),
    ),
    Build.of(
        "alert-holds-a-value",
        "tells the text of a foreign error, whatever stands in it",
        Oracle.PRIVACY,
        test=f"{_TEST}::test_of_a_foreign_error_only_its_type_is_told",
        edits=(
            Edit(
                _WORDING,
                'kind if _TYPE.fullmatch(kind) else "an error", _BUG)',
                "error.message, _BUG)",
            ),
        ),
    ),
    Build.of(
        "alert-not-scrubbed",
        "tells the text of a check as it is, with what it has found",
        Oracle.PRIVACY,
        test=f"{_TEST}::test_no_value_is_in_what_is_told_or_kept",
        edits=(
            Edit(
                _WORDING,
                '    clean = scrub(" ".join(text.split()))\n',
                '    clean = " ".join(text.split())\n',
            ),
        ),
    ),
    Build.of(
        "alert-shows-its-address",
        "tells the address of a webhook that took no alert: whoever has it may write there",
        Oracle.PRIVACY,
        test="test_alert_channels.py::test_no_address_is_ever_logged_or_shown",
        edits=(
            Edit(
                "pipeline/operate/alerts/channels.py",
                '        raise AlertError(f"{name} took no alert ({_why(error)})"',
                '        place = getattr(error, "url", "")\n'
                '        raise AlertError(f"{name} took no alert ({_why(error)}, {place})"',
            ),
        ),
    ),
    Build.of(
        "alert-of-no-tick",
        "tells of runs and checks that fail, and not of the ticks of sensors",
        Oracle.ERROR,
        test="test_alert_sensor.py::test_it_tells_of_the_ticks_of_other_sensors_too",
        edits=(Edit("pipeline/operate/alerts/sensor.py", '        "ticks": Ticks(scene),\n', ""),),
    ),
    Build.of(
        "alert-kept-by-one-channel",
        "lets a channel that is dead keep the others waiting",
        Oracle.ISOLATION,
        test="test_alert_sensor.py::test_one_channel_that_is_dead_keeps_no_other_waiting",
        edits=(
            Edit(
                _TELLING,
                '        except AlertError as error:\n            return f"',
                '        except AlertError as error:\n            raise\n            return f"',
            ),
        ),
    ),
)
"""What they have in common: nobody can rely on what they are told."""
