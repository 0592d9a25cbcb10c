"""Search: what somebody asked for, found in one snapshot of what he may pull."""
