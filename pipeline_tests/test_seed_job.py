"""The seed job sends what was asked for, and its file is one of the seed folder or none."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline_tests.samples import CANARY
from pipeline_tests.world import World

Seed = Callable[..., tuple[dg.ExecuteInProcessResult, str]]


@pytest.fixture
def seed(world: World) -> Iterator[Seed]:
    """Runs the job with a configuration: its result, and all that Dagster has kept of it."""
    assert world.depth() == (0, 0)
    with dg.DagsterInstance.ephemeral() as instance:

        def run(**config: object) -> tuple[dg.ExecuteInProcessResult, str]:
            result = (
                defs()
                .resolve_job_def("seed_user_logins")
                .execute_in_process(
                    run_config={"ops": {"send_user_logins": {"config": config}}},
                    instance=instance,
                    raise_on_error=False,
                )
            )
            return result, "\n".join(map(repr, instance.all_logs(result.run_id)))

        yield run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of seed files, with a file in it, one beneath it and one beside it."""
    made = tmp_path / "seeds"
    (made / "deeper").mkdir(parents=True)
    for place in (made, made / "deeper", tmp_path):
        (place / "events.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    monkeypatch.setenv("PIPELINE_SEED_DIR", str(made))
    return made


@pytest.mark.usefixtures("folder")
def test_a_file_of_the_folder_is_sent(world: World, seed: Seed) -> None:
    result, _ = seed(file="events.jsonl")

    assert result.success
    assert world.depth() == (2, 0)
    assert sent(result) == 2


@pytest.mark.parametrize(
    "name",
    [
        "deeper/events.jsonl",
        "../events.jsonl",
        "./events.jsonl",
        "/etc/hostname",
        "missing.jsonl",
        "..",
        ".",
        "",
        "events.jsonl\0",
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_no_name_of_a_file_of_the_folder_is_refused(
    world: World, seed: Seed, name: str
) -> None:
    """And not repeated: the names in run config need not have been written by its launcher."""
    result, kept = seed(file=name)

    assert_refused(world, result, "there is no such file")
    if len(name) > 2:
        assert name not in kept
        assert repr(name)[1:-1] not in kept


@pytest.mark.usefixtures("folder")
def test_run_config_cannot_read_a_variable_through_the_name(
    world: World, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in (CANARY, f"/{CANARY}/x"):
        with variable(monkeypatch, secret):
            result, kept = seed(file={"env": "MY_SECRET"})

        assert_refused(world, result, "there is no such file")
        assert CANARY not in kept


def test_without_a_folder_no_file_is_sent(
    world: World, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIPELINE_SEED_DIR", raising=False)
    with variable(monkeypatch, CANARY):
        result, kept = seed(file={"env": "MY_SECRET"})

    assert_refused(world, result, "no folder of seed files is set up")
    assert CANARY not in kept


def test_a_folder_that_is_gone_holds_no_file(world: World, seed: Seed, folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))

    result, _ = seed(file="events.jsonl")

    assert_refused(world, result, "there is no such file")


def test_progress_and_the_number_sent_are_told(world: World, seed: Seed) -> None:
    result, kept = seed(count=1_500, random_seed=1)

    assert result.success
    assert world.depth() == (1_500, 0)
    assert sent(result) == 1_500
    assert "sent 1500 in all" in kept
    first = re.search(r"sent (\d+)'", kept)
    assert first is not None
    assert 1_000 <= int(first[1]) < 1_500


def test_a_count_beyond_all_reason_sends_nothing(world: World, seed: Seed) -> None:
    result, kept = seed(count=10_000_001)

    assert not result.success
    assert "less than or equal to 10000000" in kept
    assert world.depth() == (0, 0)


@contextmanager
def variable(monkeypatch: pytest.MonkeyPatch, value: str) -> Iterator[None]:
    """An environment in which a variable holds a secret."""
    with monkeypatch.context() as patched:
        patched.setenv("MY_SECRET", value)
        yield


def sent(result: dg.ExecuteInProcessResult) -> object:
    """The number in the metadata of the op's output."""
    (event,) = (each for each in result.all_node_events if each.is_successful_output)
    return event.step_output_data.metadata["sent"].value


def assert_refused(world: World, result: dg.ExecuteInProcessResult, what: str) -> None:
    """The job failed with one error of ours, and sent nothing."""
    assert not result.success
    failure = result.failure_data_for_node("send_user_logins")
    assert failure is not None
    assert failure.error is not None
    assert f"E_SEED: {what}" in failure.error.to_string()
    assert world.depth() == (0, 0)
