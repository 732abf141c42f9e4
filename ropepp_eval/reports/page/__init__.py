"""The report: one HTML file of a run, opened from disk without a network."""
