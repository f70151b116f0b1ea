"""The worker of one machine: drains the queue on and on, as `pipeline consume` does.

Run as `python -m machines.worker`. It differs from the command in the limits of its feed alone.
"""

import json
import os
from dataclasses import asdict

from machines.deployed import defs
from machines.feed import machines_feed
from pipeline.operate.consume_service import ConsumeService, Line
from pipeline.operate.told_to_stop import ToldToStop

READY = "ready"
"""The event of the line that a worker says before it looks at the queue for the first time."""


def tell(line: Line) -> None:
    """Prints a line for the campaign."""
    print(json.dumps(asdict(line)), flush=True)


def main() -> None:
    """Drains until it is told to stop."""
    feed = machines_feed()
    with ToldToStop() as told:
        service = ConsumeService(defs(), [feed], stop=told.stop, tell=tell)
        service.reach()
        tell(Line(feed.name, READY, f"process {os.getpid()}"))
        told.until(service.run)


if __name__ == "__main__":
    main()
