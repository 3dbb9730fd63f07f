"""This machine: processes through the supervisor, environments through uv, files, and Unix sockets."""
