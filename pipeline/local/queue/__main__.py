"""Runs the embedded queue by itself: `python -m pipeline.local.queue --help`."""

import sys

from pipeline.local.queue.process import main

if __name__ == "__main__":
    sys.exit(main())
