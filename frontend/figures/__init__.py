"""What a server counts: each process in a file of its own, read by all of them."""
