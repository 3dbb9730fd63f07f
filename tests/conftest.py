"""Makes ``tests/`` importable, so that tests can say ``from support.… import …``."""
