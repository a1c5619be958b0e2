"""The control plane: one router per resource over the store."""
