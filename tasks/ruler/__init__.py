"""RULER v1: thirteen synthetic long-context tasks."""
