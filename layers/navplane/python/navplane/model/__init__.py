"""What is true: frozen data and pure decisions. No I/O, no clock."""
