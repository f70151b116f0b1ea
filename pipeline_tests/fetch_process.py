"""A fetch in a process of its own, which may be killed at any moment."""

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Final

from pipeline.produce.fetch.fetching import fetch
from pipeline.produce.fetch.planning import count, ranges
from pipeline.produce.fetch.reach import Reach
from pipeline.resources.outside import Outside
from pipeline_tests.fetch_case import FEED, QUICK, quietly

# Imports all of it once, and is forked for each process.
_processes: Final = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def fetch_all(environment: Mapping[str, str]) -> None:
    """Plans, and fetches one range after the other; the settings are an environment's."""
    os.environ.update(environment)
    reach = Reach.of(Outside.of(os.environ), QUICK, os.environ)
    for each in ranges(count(reach, QUICK), QUICK.range_size):
        fetch(reach, QUICK, FEED, each, tell=quietly)


@contextmanager
def fetching(environment: Mapping[str, str]) -> Iterator[BaseProcess]:
    """The same in another process, gone when the block ends."""
    process = _processes.Process(target=fetch_all, args=(dict(environment),))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()
        process.close()
