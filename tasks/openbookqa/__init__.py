"""OpenBookQA: questions alone, and with the book as context."""
