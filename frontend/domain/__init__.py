"""Pure rules of HTTP and OCI: no I/O, no framework."""
