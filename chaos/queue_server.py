"""The misbehaving queue as a process of its own, with the witness at its deletes.

Run as `python -m chaos.queue_server URL_FILE ARGUMENTS...`, the arguments being those of
`python -m pipeline.local.queue`. The keyring is that of the environment.
"""

import os
import sys
from pathlib import Path

from chaos.feed import chaos_feeds
from chaos.identity import identity_of
from chaos.witness import Bystanders, Durability
from pipeline.local.queue.process import main
from pipeline.local.queue.witness import AskingWitness
from pipeline.masking.key_file import KeyFile
from pipeline.resources.settings import KEYRING


def serve(url_file: Path, arguments: list[str]) -> int:
    """Serves until told to stop; the exit status.

    Args:
        url_file: Holds where Postgres is now.
        arguments: For the queue.
    """
    keyring = KeyFile(Path(os.environ[KEYRING])).load()
    bystanders = Bystanders(
        {
            feed.queue: Durability(
                feed.name, identity_of(feed, keyring.settlement_key(feed.name)), url_file.read_text
            )
            for feed in chaos_feeds()
        }
    )
    return main(arguments, AskingWitness(bystanders))


if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1]), sys.argv[2:]))
