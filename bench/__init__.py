"""Measurements against real servers, side by side in one run: ratios and counts, not seconds."""
