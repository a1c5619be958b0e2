"""Dialects: whose API a surface speaks."""

from enum import StrEnum


class Dialect(StrEnum):
    """Whose error bodies, events and usage shapes a surface speaks. The value is stored: never rename one."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
