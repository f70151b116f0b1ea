"""The network of `make machines`: its plan leads nowhere else, and it is taken down in any case."""

import os
import stat
from pathlib import Path

import pytest

from machines.addresses import Plan, left_over
from machines.network import Network, obstacle

PLAN = Plan(4711, 3)
NOT_A_PROCESS = 2**30
"""Above the largest process id of any system."""

RECORDER = """\
#!/bin/sh
printf '%s\\n' "$*" >> {said}
case "$*" in {refuses}) echo "RTNETLINK answers: Operation not permitted" >&2; exit 2;; esac
if [ "$*" = "netns list" ]; then echo "machines-{dead}-hub (id: 3)"; echo other; fi
"""


@pytest.mark.parametrize(
    ("platform", "user", "ip", "told"),
    [
        ("darwin", 0, "/sbin/ip", "Linux"),
        ("linux", 0, None, "install iproute2"),
        ("linux", 1000, "/sbin/ip", "root"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    platform: str, user: int, ip: str | None, told: str
) -> None:
    why = obstacle(platform, user, ip)
    assert why is not None
    assert told in why
    assert "\n" not in why


def test_root_on_linux_with_iproute2_may_go_on() -> None:
    assert obstacle("linux", 0, "/sbin/ip") is None


def test_each_machine_has_a_namespace_and_an_address_of_its_own() -> None:
    machines = range(1, PLAN.machines + 1)
    assert len({PLAN.namespace(each) for each in machines} | {PLAN.hub}) == PLAN.machines + 1
    assert len({PLAN.address(each) for each in machines} | {PLAN.hub_address}) == PLAN.machines + 1


def test_no_namespace_is_used_before_it_is_made() -> None:
    made = set()
    for command in PLAN.to_make():
        if command[:2] == ("netns", "add"):
            made.add(command[2])
        else:
            used = {each for each in command if each.startswith("machines-")}
            assert used, command
            assert used <= made, command
    assert made == set(PLAN.namespaces)


def test_the_only_way_out_of_a_machine_is_that_to_the_services() -> None:
    """Not even its own loopback is up: 127.0.0.1 is the hub's, and the hub has no route at all."""
    routes = [command for command in PLAN.to_make() if "route" in command]
    assert routes == [
        ("-n", PLAN.namespace(each), "route", "add", "127.0.0.1/32", "via", PLAN.hub_address)
        for each in range(1, PLAN.machines + 1)
    ]
    up = [command for command in PLAN.to_make() if command[2:] == ("link", "set", "lo", "up")]
    assert up == [("-n", PLAN.hub, "link", "set", "lo", "up")]


def test_a_cut_is_made_at_the_hub_so_that_the_machine_is_told_of_nothing() -> None:
    assert PLAN.to_cut(2) == ("-n", PLAN.hub, "link", "set", "m2", "down")
    assert PLAN.to_mend(2) == ("-n", PLAN.hub, "link", "set", "m2", "up")


def test_only_what_a_dead_campaign_left_over_is_left_over() -> None:
    listed = "machines-10-hub (id: 1)\nmachines-10-2\nmachines-11-1\nother\nmachines-x-1\n\n"
    assert list(left_over(listed, {11})) == ["machines-10-hub", "machines-10-2"]


def recorder(folder: Path, *, refuses: str = "nothing") -> tuple[Path, Path]:
    """A program that stands in for `ip`, and the file with what it was asked for."""
    program, said = folder / "ip", folder / "said"
    program.write_text(RECORDER.format(said=said, refuses=refuses, dead=NOT_A_PROCESS))
    program.chmod(stat.S_IRWXU)
    return program, said


def removed(said: Path) -> list[str]:
    asked = said.read_text().splitlines()
    return [line.split()[-1] for line in asked if line.startswith("netns delete")]


def test_all_is_taken_down_and_so_is_what_an_earlier_campaign_has_left(tmp_path: Path) -> None:
    program, said = recorder(tmp_path)
    plan = Plan(os.getpid(), 2)
    with Network(plan, str(program)) as network:
        assert removed(said) == [f"machines-{NOT_A_PROCESS}-hub"]
        network.cut(1)
    assert removed(said)[1:] == plan.namespaces
    assert f"-n {plan.hub} link set m1 down" in said.read_text().splitlines()


def test_all_is_taken_down_after_an_error(tmp_path: Path) -> None:
    program, said = recorder(tmp_path)
    plan = Plan(os.getpid(), 2)

    with pytest.raises(KeyboardInterrupt), Network(plan, str(program)):
        raise KeyboardInterrupt
    assert removed(said)[1:] == plan.namespaces


def test_what_the_system_refuses_is_told_in_one_line_and_nothing_stays(tmp_path: Path) -> None:
    program, said = recorder(tmp_path, refuses="*type*bridge*")
    plan = Plan(os.getpid(), 1)
    with pytest.raises(SystemExit) as refused:
        Network(plan, str(program)).__enter__()
    told = str(refused.value)
    assert told.endswith("failed: RTNETLINK answers: Operation not permitted")
    assert "\n" not in told
    assert removed(said)[1:] == plan.namespaces


def test_a_command_runs_in_the_namespace_of_its_machine(tmp_path: Path) -> None:
    program, _ = recorder(tmp_path)
    network = Network(PLAN, str(program))
    wanted = [str(program), "netns", "exec", PLAN.namespace(3), "python", "-V"]
    assert network.within(3, ["python", "-V"]) == wanted
