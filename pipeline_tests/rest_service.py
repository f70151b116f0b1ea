"""What runs in the process of `rest_process`: the service, with bounds that a test chooses."""

import json
import os
import sys
from typing import Final

from pipeline import feeds
from pipeline.produce.rest import app as web
from pipeline.produce.rest import server, settings
from pipeline.produce.rest.limits import Limits
from pipeline_tests.samples import EVERY_TYPE

FEEDS: Final = (*feeds.discover(), EVERY_TYPE)
"""What the service takes: every feed that is deployed, and one with a field of each type."""


def main(limits: Limits) -> None:
    """Serve on a free port, whose number is the first line of standard output."""
    service = settings.build_service(os.environ, FEEDS, limits)
    application = web.create_app(service)
    web.add_docs(application, service)
    listener = server.listen("127.0.0.1", 0)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody reads the pipe any more
    server.run(server.make_server(application, service), listener)


if __name__ == "__main__":
    main(Limits(**json.loads(sys.argv[1])))
