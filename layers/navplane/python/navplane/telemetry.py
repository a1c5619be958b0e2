"""Structured logs and metrics: JSON lines on standard output, which is all that Lambda and a container need.

Metric dimensions are closed sets (an error's code, a provider's name), never ids or messages.
"""

from aws_lambda_powertools import Logger

logger = Logger(service="navplane", log_uncaught_exceptions=False)
