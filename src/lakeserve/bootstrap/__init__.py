"""The composition root: the only place that picks concrete classes. One module for each kind of process.

``python -m lakeserve.bootstrap.gateway FD`` and ``python -m lakeserve.bootstrap.controller`` are how the supervisor starts its
services; a process imports what it needs and nothing of the others.
"""
