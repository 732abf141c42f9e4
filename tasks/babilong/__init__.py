"""BABILong: bAbI facts hidden in long background text."""
