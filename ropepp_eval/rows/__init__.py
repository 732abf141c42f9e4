"""Rows: what every task needs to make, keep, find and score them, here and inside lm-eval."""
