"""WikiText-2: perplexity of pages, by sliding windows, and by position inside the window."""
