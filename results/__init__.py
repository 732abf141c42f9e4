"""Published numbers and our own."""
