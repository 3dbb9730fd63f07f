"""What things are. Standard library only, frozen, no I/O and no clock: time and ids come in as arguments."""
