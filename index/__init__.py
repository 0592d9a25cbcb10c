"""What refers to what: keys, records, a read snapshot, a write queue; only this imports lmdb."""
