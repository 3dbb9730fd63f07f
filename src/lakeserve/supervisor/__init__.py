"""The root of the process tree: small, single-threaded, standard library only.

It owns the listening socket and every process. Nothing else in lakeserve starts a process: the controller asks the
supervisor over a Unix socket (:mod:`lakeserve.supervisor.protocol`), so that what serves does not die with the controller.

* :mod:`.main`      the one ``select`` call: signals, requests of the controller, timers
* :mod:`.services`  gateways, controller and registry: started at once, restarted with back-off
* :mod:`.table`     every process that lives, and the rules for ending one
* :mod:`.spawn`     fork and exec
* :mod:`.death`     how children die with their parent, and how leftovers of a killed tree are found
"""
