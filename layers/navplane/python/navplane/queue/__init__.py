"""Usage events on their way to the log plane."""
