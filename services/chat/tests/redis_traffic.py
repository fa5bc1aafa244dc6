"""What is said to Redis, as MONITOR shows it, and the keys of it as Redis itself names them."""

import ast
import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.crc import key_slot

_LINE = re.compile(rb"^\d+\.\d+ \[(\d+) (\S+)\] (.*)$", re.DOTALL)
_WORD = re.compile(rb'"(?:[^"\\]|\\.)*"')
_ID = re.compile(rb"\b([a-z]{3})_[a-z0-9]{26}\b")
# what has no key by its nature: connections, transactions' brackets, the cache of scripts
KEYLESS = frozenset(
    {
        b"AUTH",
        b"HELLO",
        b"SELECT",
        b"CLIENT",
        b"PING",
        b"SCRIPT",
        b"MULTI",
        b"EXEC",
        b"DISCARD",
        b"TIME",
    }
)


@dataclass(frozen=True)
class Command:
    """One command; `by_script` if a script sent it."""

    client: str
    words: tuple[bytes, ...]

    @property
    def name(self) -> bytes:
        return self.words[0].upper()

    @property
    def by_script(self) -> bool:
        return self.client == "lua"


def parse(line: bytes) -> Command:
    """A line of MONITOR; Redis quotes as Python does."""
    found = _LINE.match(line)
    assert found, line
    words = tuple(ast.literal_eval(f"b{word.decode('ascii')}") for word in _WORD.findall(found[3]))
    return Command(found[2].decode(), words)


@dataclass
class Traffic:
    """The commands that were sent, in order."""

    commands: list[Command] = field(default_factory=list)

    def names(self) -> set[bytes]:
        return {command.name for command in self.commands}

    def units(self) -> Iterator[tuple[Command, ...]]:
        """What must be in one slot: a command, a script with what it sends, a transaction."""
        open_transactions: dict[str, list[Command]] = {}
        script: list[Command] = []
        for command in self.commands:
            if command.by_script:
                script.append(command)
                continue
            if script:
                yield tuple(script)
                script = []
            if command.name == b"MULTI":
                open_transactions[command.client] = []
            elif command.name in {b"EXEC", b"DISCARD"}:
                yield tuple(open_transactions.pop(command.client))
            elif command.client in open_transactions:
                open_transactions[command.client].append(command)
            elif command.name in {b"EVAL", b"EVALSHA"}:
                script = [command]
            else:
                yield (command,)
        if script:
            yield tuple(script)


@asynccontextmanager
async def recorded(url: str) -> AsyncIterator[Traffic]:
    """The traffic of all clients of that server inside the block."""
    traffic, end = Traffic(), b"end of the recording"
    async with Redis.from_url(url) as client, client.monitor() as monitor:
        ended = asyncio.Event()

        async def read() -> None:
            while not ended.is_set():
                command = parse(await monitor.connection.read_response())
                if command.words == (b"ECHO", end):
                    ended.set()
                else:
                    traffic.commands.append(command)

        reading = asyncio.create_task(read(), name="read MONITOR")
        try:
            yield traffic
            await client.echo(end)
            async with asyncio.timeout(10):
                await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def keys_of(client: Redis, command: Command) -> tuple[bytes, ...]:
    """Its keys, by the server's own table. ResponseError if it has none and is not one of those."""
    if command.name in KEYLESS:
        return ()
    keys = await client.command_getkeys(*command.words)
    return tuple(key.encode() if isinstance(key, str) else key for key in keys)


def slots(keys: Sequence[bytes]) -> set[int]:
    """The slots of a cluster that these keys are in."""
    return {key_slot(key) for key in keys}


def pattern(key: bytes) -> str:
    """The key with its ids replaced by what they name."""
    return _ID.sub(rb"<\1>", key).decode()
