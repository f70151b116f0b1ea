"""The instance as its processes; they run with `make instance`."""
