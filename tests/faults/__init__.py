"""Fault injection: whatever is done to a build or a fit, nothing that was finished is lost.

Processes are killed at random times and at chosen system calls, disks fill up, writes come up
short, files are cut. What must hold afterwards stands in `judge`.

``pytest tests/faults`` runs a bounded form of it, ``python -m tests.faults --kills 600`` the long
one, from the root of the repository.
"""
