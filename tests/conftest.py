"""Makes ``tests/`` importable, so that tests can say ``from support.… import …``, and shares one running server among them."""

pytest_plugins = ["support.serving"]
