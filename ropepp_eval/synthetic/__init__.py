"""What every generated task needs: rows, private random streams, token budgets, fitting a haystack, frozen rows."""
