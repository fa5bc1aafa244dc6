"""Arming the failpoints of a service process, and seeing that they struck."""

import time
from pathlib import Path

_POLL_SECONDS = 0.02


class FailpointDirectory:
    """The directory that a process was given as `AULA_FAILPOINTS`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """What the process is started with."""
        return {"AULA_FAILPOINTS": str(self.path)}

    def arm(self, name: str, action: str) -> None:
        """Have the place fail, again if it did, by an action of ArmedFailpoints, `…@n` too."""
        (self.path / f"{name}.struck").unlink(missing_ok=True)
        draft = self.path / f"{name}.draft"
        draft.write_text(action)
        draft.replace(self.path / f"{name}.armed")

    def disarm(self, name: str) -> bool:
        """Have the place not fail any more; False if it has failed, or was not armed."""
        try:
            (self.path / f"{name}.armed").unlink()
        except FileNotFoundError:
            return False
        return True

    def struck(self, name: str) -> bool:
        """Whether it did."""
        return (self.path / f"{name}.struck").exists()

    def wait_struck(self, name: str, *, within: float = 30) -> None:
        """Return when it did; TimeoutError if it does not."""
        ends = time.monotonic() + within
        while not self.struck(name):
            if time.monotonic() > ends:
                raise TimeoutError(f"failpoint {name} did not strike")
            time.sleep(_POLL_SECONDS)

    def release(self, name: str) -> None:
        """Let a paused process go on."""
        (self.path / f"{name}.go").touch()
