"""Number 1 of a container with `init: true`: passes signals on, and buries the dead.

A process without a handler for SIGTERM ends by it only where it is not number 1 itself.
"""

import os
import signal
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def main(command: list[str]) -> int:
    """Starts the command, and ends with it.

    Returns:
        Its exit status.
    """
    child = os.posix_spawnp(command[0], command, os.environ)
    for each in PASSED_ON:
        signal.signal(each, lambda number, _frame: os.kill(child, number))
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status) % 256


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
