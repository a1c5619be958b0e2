"""The operator's `navplane` command."""
