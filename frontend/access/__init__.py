"""Who asks: passwords, short-lived tokens, user records."""
