"""Uploads on their way: staged as files, hashed and cut into chunks while they grow."""
