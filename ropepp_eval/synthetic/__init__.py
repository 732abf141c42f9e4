"""The name under which rows, tokens and text stood before they had rooms of their own; kept for code written then."""
