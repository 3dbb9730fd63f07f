"""Encryption at rest, on the ``cryptography`` package: the only home of that."""
