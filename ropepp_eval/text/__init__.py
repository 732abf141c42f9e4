"""Generated text that stands in for corpora, and word pools."""
