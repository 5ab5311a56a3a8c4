"""Where a fit starts: k-means, and parameters from labels or centers."""
