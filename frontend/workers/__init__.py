"""The processes of a server: supervisor, storage daemon, and workers that share the sockets."""
