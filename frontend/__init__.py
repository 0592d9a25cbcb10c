"""HTTP and OCI: rules in `domain`, one sync `respond` for all reads, Quart-Trio under Hypercorn."""

VERSION = "0.1.0"  # as in pyproject.toml
