"""Backups: made beside a running server, checked, and restored whole or not at all."""
