"""Sockets and connections: accepting, fencing, bodies in, answers out, an orderly end."""
