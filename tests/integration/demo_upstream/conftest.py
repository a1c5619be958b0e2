"""The demo upstream for these tests."""

from tests.support.demo_upstream import demo_upstream

__all__ = ["demo_upstream"]
