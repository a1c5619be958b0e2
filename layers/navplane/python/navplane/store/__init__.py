"""Postgres: SQL beside the function that runs it. The store never commits; the plane owns the transaction."""
