"""Proxy repositories: what is not here is fetched from their source, and passed on meanwhile."""
