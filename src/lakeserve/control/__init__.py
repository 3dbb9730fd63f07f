"""Use cases and reconcilers: what the control API does, and what keeps endpoints as they should be. Decides; acts through ports.

* :mod:`.operations`   the permission table: every operation and the level it needs
* :mod:`.endpoints`    the use cases of serving endpoints
* :mod:`.deployment`   one served entity on its way from a registered model to running workers
* :mod:`.reconciler`   one task for each endpoint: compares what is wanted with what runs, and acts on the difference
"""
