"""The log plane: usage events become rows, and reservations are closed."""
