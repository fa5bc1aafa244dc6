"""The streams' logs in Redis: one Redis stream each, fenced, numbered without a gap.

An entry's id is `<n>-0` with n the number of the last event that it carries, so that nothing
can be appended twice and a gap shows. All keys of a stream share the hash tag `{streamId}`, and
no command has those of two streams, so that a Redis Cluster can hold the logs.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoScriptError

from aula_chat.domain.events import number_of, split_frames
from aula_chat.domain.ports import LogAnswer, LogAppend
from aula_common.redis import redis_deadline

_READING_SECONDS = 1.0  # of many logs, which may be long
_TIMEOUT_SECONDS = 0.25  # without acknowledgement for longer, readers are served from memory

# KEYS: log, fence, stop. ARGV: fence, expected top, number, data, ttl in seconds.
# Appends only under the highest fence seen and onto the expected top; answers
# {accepted, top, fenced, stop asked}.
_APPEND = """
local fence = tonumber(redis.call('GET', KEYS[2]) or '0')
local mine = tonumber(ARGV[1])
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local top = 0
if #last > 0 then top = tonumber(string.match(last[1][1], '^(%d+)')) end
local stop = redis.call('EXISTS', KEYS[3])
if fence > mine then return {0, top, 1, stop} end
if top ~= tonumber(ARGV[2]) then return {0, top, 0, stop} end
redis.call('XADD', KEYS[1], ARGV[3] .. '-0', 'e', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[5])
return {1, tonumber(ARGV[3]), 0, stop}
"""

# KEYS: fence. ARGV: fence, ttl. Only ever raises.
_RAISE_FENCE = """
local fence = tonumber(redis.call('GET', KEYS[1]) or '0')
if fence < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return 1
"""


def _key(stream_id: str, what: str) -> str:
    return f"aula:stream:{{{stream_id}}}:{what}"


@lru_cache(maxsize=4096)
def _keys_of_an_append(stream_id: str) -> tuple[bytes, ...]:
    return tuple(_key(stream_id, what).encode() for what in ("log", "fence", "stop"))


class RedisStreamLog:
    """StreamLog over Redis streams; the client needs no deadlines, as each operation has one."""

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._redis = redis
        self._append_sha = sha1(_APPEND.encode(), usedforsecurity=False).hexdigest()
        self._raise = redis.register_script(_RAISE_FENCE)

    async def append(self, appends: Sequence[LogAppend]) -> list[LogAnswer | None]:
        """See StreamLog.append: the logs may be at several servers, of which one is away."""
        async with redis_deadline(_TIMEOUT_SECONDS):
            answers = await self._run("EVALSHA", self._append_sha, appends)
            unknown = [index for index, one in enumerate(answers) if isinstance(one, NoScriptError)]
            if unknown:
                # the first append that this server sees, or its first since it was started
                again = await self._run("EVAL", _APPEND, [appends[index] for index in unknown])
                for index, answer in zip(unknown, again, strict=True):
                    answers[index] = answer
            refused = [answer for answer in answers if isinstance(answer, Exception)]
            if refused and len(refused) == len(answers):
                raise refused[0]
        return [_log_answer(answer) for answer in answers]

    async def _run(self, command: str, script: str, appends: Sequence[LogAppend]) -> list[Any]:
        # not by a Script object: that asks in each pipeline first whether the script is known, and
        # a cluster's pipelines refuse it
        async with self._redis.pipeline(transaction=False) as pipeline:
            for item in appends:
                keys = _keys_of_an_append(item.stream_id)
                pipeline.execute_command(
                    command,
                    script,
                    len(keys),
                    *keys,
                    item.fence,
                    item.expected_top,
                    item.number,
                    item.data,
                    item.ttl_seconds,
                )
            return await pipeline.execute(raise_on_error=False)

    async def read(self, positions: Mapping[str, int]) -> dict[str, list[bytes]]:
        """The frames after each position, by stream, in one round trip."""
        async with (
            redis_deadline(_READING_SECONDS),
            self._redis.pipeline(transaction=False) as pipeline,
        ):
            for stream_id, position in positions.items():
                pipeline.xrange(_key(stream_id, "log"), min=f"({position}-0", max="+")
            answers = await pipeline.execute()
        return {
            stream_id: [
                frame
                for _, fields in entries
                for frame in split_frames(fields[b"e"])
                if number_of(frame) > position
            ]
            for (stream_id, position), entries in zip(positions.items(), answers, strict=True)
        }

    async def raise_fence(self, stream_id: str, fence: int, *, ttl_seconds: int) -> None:
        """Refuse appends under lower fences from now on."""
        async with redis_deadline(_TIMEOUT_SECONDS):
            await self._raise(keys=[_key(stream_id, "fence")], args=[fence, ttl_seconds])

    async def ask_stop(self, stream_id: str, *, ttl_seconds: int) -> None:
        """Have the next append's answer say that a stop was asked for."""
        async with redis_deadline(_TIMEOUT_SECONDS):
            await self._redis.set(_key(stream_id, "stop"), 1, ex=ttl_seconds)

    async def delete(self, stream_ids: Sequence[str]) -> None:
        """Forget the frames of these; their fences stay, so that no sleeper writes them again."""
        async with (
            redis_deadline(_TIMEOUT_SECONDS),
            self._redis.pipeline(transaction=False) as pipeline,
        ):
            for stream_id in stream_ids:
                pipeline.delete(_key(stream_id, "log"))
            await pipeline.execute()


def _log_answer(answer: Any) -> LogAnswer | None:
    if isinstance(answer, Exception):
        return None
    accepted, top, fenced, stop = answer
    return LogAnswer(bool(accepted), int(top), bool(fenced), bool(stop))
