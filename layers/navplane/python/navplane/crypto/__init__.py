"""Secrets: sealed, hashed and verified here and nowhere else."""
