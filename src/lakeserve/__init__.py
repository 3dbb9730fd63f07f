"""lakeserve: the Databricks Model Serving and Apps API on your own machines, with real models behind it.

Start with docs/internals/: how a request travels, how a config change travels, how a worker is born and dies.
"""

__version__ = "0.1.0"
