"""LAMBADA: the last word of a passage, alone, in a filled window, and by sliding windows."""
