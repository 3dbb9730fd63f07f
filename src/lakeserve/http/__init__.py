"""The ASGI applications: parse, call, render. No rules.

* :mod:`.gateway`  the application of a gateway process: hot routes here, everything else passed on
* :mod:`.control`  the control API, in the controller's process
* :mod:`.guard`    what is refused before any route is looked at
* :mod:`.body`     the one reader of request bodies
* :mod:`.passing`  passing a request on to another process of ours over its Unix socket
"""
