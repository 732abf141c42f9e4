"""The hub on loopback, and everything that asks it, through the real client."""
