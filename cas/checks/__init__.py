"""What fsck looks at: each check yields what differs, beside the function that mends it."""
