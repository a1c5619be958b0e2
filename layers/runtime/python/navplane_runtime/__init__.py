"""A streaming Python runtime for AWS Lambda that hosts one ASGI app: standard library only, and nothing of the product."""
