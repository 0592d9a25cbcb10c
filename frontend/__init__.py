"""HTTP and OCI: rules in `domain`, one sync `respond` for all reads, Quart-Trio under Hypercorn."""
