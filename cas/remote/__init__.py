"""The store behind a Unix socket: worker processes ask, the daemon does."""
