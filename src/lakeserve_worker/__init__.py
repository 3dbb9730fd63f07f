"""The model process: a program of its own, standard library only, that runs inside a model's environment.

It must start under every Python that a model may have been logged with, so it keeps to the syntax of Python 3.8 and
imports nothing of ``lakeserve``. From the environment it needs ``mlflow.pyfunc`` alone. The server uses only
:mod:`lakeserve_worker.protocol` of it.
"""
