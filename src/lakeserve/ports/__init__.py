"""What the core needs from outside, as Protocols. Implementations are in adapters/; one contract suite per port is in
tests/contract and runs over every implementation."""
