"""The data plane: authenticate, admit, forward, relay, meter."""
