"""Other registries over HTTP: the one room that asks them, and knows nothing of our store."""
