"""Warm workers: runs are executed by Celery workers that have imported everything already."""
