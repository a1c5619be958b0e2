"""Admission: what the hot path asks before a byte goes to a provider, and what it tells afterwards."""
