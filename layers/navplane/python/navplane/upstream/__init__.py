"""The only HTTP to providers, and what each provider is like."""
