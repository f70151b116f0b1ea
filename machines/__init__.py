"""Machines: workers in network namespaces of their own, more of them, lost and cut off."""
