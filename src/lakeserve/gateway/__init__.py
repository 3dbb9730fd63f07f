"""The data plane's steps: ``authenticate → resolve → authorise → route → dispatch``. No transport, no framework, no SQL.

:mod:`.plane` is the straight line; each step is a small module of its own. Everything a request needs is in the routing table.
"""
