"""What a store does for itself: collect, scrub, set damage apart, and mend it."""
