"""`/api/v1/`, health, and their problem documents."""
