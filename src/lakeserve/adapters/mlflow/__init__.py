"""Models and where they come from: MLflow's registry, as a process of its own, and our side of the socket to it.

``python -m lakeserve.adapters.mlflow`` is that process; only its modules (:mod:`.source`, :mod:`.embedded`) import mlflow. The
controller imports :mod:`.client` alone, which asks over a Unix socket, and must stay free of mlflow: that import costs two seconds
and a hundred megabytes.
"""
