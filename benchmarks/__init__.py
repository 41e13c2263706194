"""Speed and memory as ratios to the machine's own limits: ``python -m benchmarks [NAME ...]``.

The classes follow asv's conventions (``setup``, ``track_...``, ``teardown``).
"""
