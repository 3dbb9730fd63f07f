"""The benchmark: lakeserve beside its peers, on one machine, in one run, as ratios. ``make bench`` runs it.

A suite (``bench/cases``) is a set of cases that share their peers (``bench/peers``). To add a peer, write a class with ``name``,
``absent`` and ``serve``; to add a suite, write one with ``name``, ``case_names`` and ``run`` and name it in
:data:`bench.cases.SUITES`.

:mod:`.load` is the load generator, a program of its own; :mod:`.compare` lets the peers take turns; :mod:`.results` has what
comes out, and :mod:`.table`, :mod:`.plots` and :mod:`.report` show it.
"""
