"""A process that runs the job of `enrich_case` and never comes to the end of its enrichment.

`python -m pipeline_tests.enriching_process COUNT` says `enriching` once so many calls are under
way; those of even numbers have succeeded by then.
"""

import asyncio
import sys
from collections.abc import Mapping

from pipeline.enrichment import Record
from pipeline_tests.enrich_case import orders, run

_count = int(sys.argv[1])
_begun = 0


async def _half_of_them(record: Record) -> Mapping[str, object]:
    global _begun  # noqa: PLW0603 - one function in one process
    _begun += 1
    if _begun == _count:
        sys.stdout.write("enriching\n")
        sys.stdout.flush()
    if record["id"] in range(1, _count, 2):
        await asyncio.Event().wait()
    return {"score": record["id"]}


if __name__ == "__main__":
    run(orders(_half_of_them, most=_count, timeout_seconds=60))
