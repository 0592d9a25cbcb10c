"""`/v2/`: one dispatcher, the reads behind `respond`, and the writes."""
