"""The plan of the network: names, addresses, and the commands that make it and take it down.

A namespace for each machine, and one for the hub with the bridge. Nobody has a default route, so
nothing leads out. The embedded services listen on the hub's loopback and speak to nobody who asks
for another name. So a machine has no loopback of its own: its 127.0.0.1 is the hub's, by a route
over its cable, and Linux is told to let such packets pass (`route_localnet`).
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from chaos.place import HOST

NET: Final = "10.77.0"
"""Of all addresses; nothing outside the namespaces ever sees one."""

SUBNET: Final = f"{NET}.0/24"
"""Where Postgres sees its clients."""

BRIDGE: Final = "br0"
MOST_MACHINES: Final = 200

_NAMED: Final = re.compile(r"machines-(\d+)-(hub|\d+)")
_FIRST: Final = 10  # the last part of the address of machine 1 is 11

_ALLOW: Final = "echo 1 > /proc/sys/net/ipv4/conf/{device}/route_localnet"

Command = tuple[str, ...]
"""The arguments of `ip`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The network of one campaign.

    Attributes:
        owner: The campaign's process id: whose the namespaces are can be seen in their names.
        machines: How many.
    """

    owner: int
    machines: int

    @property
    def hub(self) -> str:
        """The namespace of the services."""
        return f"machines-{self.owner}-hub"

    @property
    def hub_address(self) -> str:
        """The bridge's."""
        return f"{NET}.1"

    def namespace(self, machine: int) -> str:
        """That of a machine, counted from 1."""
        return f"machines-{self.owner}-{machine}"

    def address(self, machine: int) -> str:
        """Where a machine is."""
        return f"{NET}.{_FIRST + machine}"

    def to_make(self) -> Iterator[Command]:
        """What makes it, in order."""
        yield "netns", "add", self.hub
        yield from _in(self.hub, "link set lo up")
        yield from _in(self.hub, f"link add {BRIDGE} type bridge")
        yield from _in(self.hub, f"addr add {self.hub_address}/24 dev {BRIDGE}")
        yield from _in(self.hub, f"link set {BRIDGE} up")
        yield _allow(self.hub, BRIDGE)
        for machine in range(1, self.machines + 1):
            name = self.namespace(machine)
            yield "netns", "add", name
            yield from _in(self.hub, f"link add {_port(machine)} type veth peer eth0 netns {name}")
            yield from _in(self.hub, f"link set {_port(machine)} master {BRIDGE} up")
            yield from _in(name, f"addr add {self.address(machine)}/24 dev eth0")
            yield from _in(name, "link set eth0 up")
            yield _allow(name, "eth0")
            yield from _in(name, f"route add {HOST}/32 via {self.hub_address}")

    def to_cut(self, machine: int) -> Command:
        """What pulls a machine's cable out of the bridge: it is told of nothing, packets vanish."""
        return next(_in(self.hub, f"link set {_port(machine)} down"))

    def to_mend(self, machine: int) -> Command:
        """What puts the cable back."""
        return next(_in(self.hub, f"link set {_port(machine)} up"))

    @property
    def namespaces(self) -> list[str]:
        """All of them; the hub last, since the services are to outlive those who use them."""
        return [*map(self.namespace, range(1, self.machines + 1)), self.hub]


def left_over(listed: str, alive: Collection[int]) -> Iterator[str]:
    """The namespaces of campaigns that were killed before they could take them down.

    Args:
        listed: What `ip netns list` says.
        alive: The processes of this machine.
    """
    for name in _first_words(listed.splitlines()):
        found = _NAMED.fullmatch(name)
        if found and int(found[1]) not in alive:
            yield name


def _first_words(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line.split()[0] if line.split() else ""


def _in(namespace: str, words: str) -> Iterator[Command]:
    yield "-n", namespace, *words.split()


def _allow(namespace: str, device: str) -> Command:
    return "netns", "exec", namespace, "sh", "-c", _ALLOW.format(device=device)


def _port(machine: int) -> str:
    return f"m{machine}"
