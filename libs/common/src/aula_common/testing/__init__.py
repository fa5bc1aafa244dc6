"""What tests of every service share: a clock that is held, real tokens from a test key."""

from aula_common.testing.clock import ManualClock
from aula_common.testing.tokens import TokenMint

__all__ = ["ManualClock", "TokenMint"]
