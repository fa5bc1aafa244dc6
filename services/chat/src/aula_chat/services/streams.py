"""Starting, following and stopping the answers of a session."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from aula_chat.domain.errors import (
    EventIdInvalidError,
    FenceLostError,
    NothingStreamsError,
    QuestionTooLongError,
    SessionStreamsError,
)
from aula_chat.domain.events import EventId
from aula_chat.domain.fences import LossPlace
from aula_chat.domain.models import fallbacks_of, find_model
from aula_chat.domain.ports import CreditAccounts, StreamLog
from aula_chat.domain.prompts import Conversation, fit, holds
from aula_chat.domain.readers import ReaderKind
from aula_chat.domain.streams import Phase, Reservation, Stream, claim_of
from aula_chat.domain.tokens import bytes_within
from aula_chat.domain.turns import Beginning
from aula_chat.services.audience import Audience
from aula_chat.services.conclusions import Conclusions, question_message
from aula_chat.services.fences import Fences
from aula_chat.services.followers import LogFollowers
from aula_chat.services.generation import Generator
from aula_chat.services.leases import Leases
from aula_chat.services.live_streams import LiveStream, LiveStreams
from aula_chat.services.readers import Readers
from aula_chat.services.recoveries import Recoveries
from aula_chat.services.stream_view import Permit, Take, follow
from aula_common.clock import Clock
from aula_common.errors import IdempotencyKeyReusedError, NotFoundError, UnavailableError
from aula_common.logging import get_logger
from aula_common.security.principal import Principal
from aula_common.tasks import Supervisor
from aula_common.traces import traceparent

if TYPE_CHECKING:
    from aula_chat.storage.streams import StreamRepository
    from aula_chat.storage.turns import TurnRepository

_log = get_logger(__name__)
_PROMPT_MESSAGES = 200  # the question among them; bounds what a start costs
_PROMISE_SECONDS = 10.0  # in which another attempt under the same key is promised or refused
_PROMISE_LOOK_SECONDS = 0.1
_MOMENT = timedelta(milliseconds=1)  # the database tells no shorter ones apart


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What somebody asks for."""

    principal: Principal
    session_id: str
    message: str
    model_id: str | None
    idempotency_key: str | None

    @property
    def digest(self) -> str | None:
        """Tells it from another under the same key."""
        if self.idempotency_key is None:
            return None
        words = (self.session_id, self.message, self.model_id or "")
        return hashlib.sha256("\0".join(words).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """A claim, what it would follow, and the session's last stream as it was seen.

    `lease_ends` is when the lease does at the earliest, on the monotonic clock.
    """

    claim: Stream
    conversation: Conversation
    after: str | None
    lease_ends: float = 0.0


class Streams:
    """The streams of all sessions, as people ask for them. `owner` names this process."""

    def __init__(
        self,
        *,
        turns: "TurnRepository",
        streams: "StreamRepository",
        accounts: CreditAccounts,
        log: StreamLog,
        live: LiveStreams,
        leases: Leases,
        generator: Generator,
        conclusions: Conclusions,
        recoveries: Recoveries,
        followers: LogFollowers,
        readers: Readers,
        audience: Audience,
        fences: Fences,
        supervisor: Supervisor,
        clock: Clock,
        owner: str,
        replay_seconds: float,
    ) -> None:
        self._turns = turns
        self._streams = streams
        self._accounts = accounts
        self._log = log
        self._live = live
        self._leases = leases
        self._generator = generator
        self._conclusions = conclusions
        self._recoveries = recoveries
        self._followers = followers
        self._readers = readers
        self._audience = audience
        self._fences = fences
        self._supervisor = supervisor
        self._clock = clock
        self._owner = owner
        self._replay_seconds = replay_seconds

    async def start(
        self,
        principal: Principal,
        session_id: str,
        *,
        message: str,
        model_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Stream:
        """Begin to answer a message; the running stream, or the one that the key began before.

        NotFoundError, ModelUnknownError, QuestionTooLongError, SessionStreamsError,
        ReservationRefusedError or UnavailableError: then nothing of the attempt remains.
        """
        wish = _Wish(
            principal=principal,
            session_id=session_id,
            message=message,
            model_id=model_id,
            idempotency_key=idempotency_key,
        )
        looked = await self._look(wish)
        self._live.admit()
        started = False
        try:
            attempt = await self._claim(wish, looked)
            if isinstance(attempt, Stream):
                return attempt
            stream = await self._promise(attempt)
            started = True
        finally:
            if not started:
                self._live.leave()
        live = LiveStream(stream, clock=self._clock, lease_ends=attempt.lease_ends)
        self._live.add(live)
        live.task = self._supervisor.spawn(
            self._generate(live, attempt.conversation), name=f"generate {stream.id}"
        )
        return stream

    async def follow_stream(
        self,
        stream: Stream,
        after: int = 0,
        *,
        kind: ReaderKind = ReaderKind.OWN,
        permit: Permit | None = None,
        take: Take | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """The frames of a stream after that number, from memory here or from its log.

        A reader that is too slow is told to come back, and its frames end there, as they do for one
        whose `permit` is withdrawn. What `take` took as it came is not among them.
        """
        live = self._live.find(stream.id)
        viewing = self._followers.following(stream) if live is None else nullcontext(live.view)
        own = kind is ReaderKind.OWN
        with (
            self._readers.reading(kind),
            viewing as view,
            self._audience.told(stream.session_id, view) if own else nullcontext(),
        ):
            frames = follow(
                view,
                after,
                buffer_bytes=self._readers.buffer_bytes,
                cut=self._readers.cut,
                permit=permit,
                take=take,
                tell_observers=own,
            )
            async with aclosing(frames):
                async for data in frames:
                    yield data

    async def wait_until_ended(self, stream: Stream) -> Stream:
        """The stream as it is stored at its end. UnavailableError if this process loses it."""
        async for _ in self.follow_stream(stream):
            pass
        ended = await self._streams.find(stream.id)
        if ended is None or ended.live:
            raise UnavailableError("the stream", retry_after=1)
        return ended

    async def find_followable(
        self, session_id: str, last_event_id: str | None
    ) -> tuple[Stream, int] | None:
        """Which stream to follow, and after which number; None if there is nothing to follow.

        The stream that `last_event_id` names, else the running one, else one that ended within
        the replay time. EventIdInvalidError if the id is none of this session's.
        """
        if last_event_id is not None:
            event_id = EventId.parse(last_event_id)
            stream = await self._streams.find(event_id.stream_id)
            if stream is None or stream.session_id != session_id:
                raise EventIdInvalidError
            if stream.last_number is not None and event_id.number >= stream.last_number:
                return None
            live = self._live.find(stream.id)
            if live is not None and event_id.number > len(live.view.frames):
                raise EventIdInvalidError
            return stream, event_id.number
        latest = await self._streams.find_latest(session_id)
        if latest is None or not self._replayable(latest):
            return None
        return latest, 0

    async def stop(self, session_id: str) -> Stream:
        """Stop the session's answer wherever it is written; what was made is kept and charged."""
        stream = await self._streams.ask_stop(session_id)
        if stream is None:
            raise NothingStreamsError
        if (live := self._live.find(stream.id)) is not None:
            live.ask_stop()
            return stream
        try:
            await self._log.ask_stop(stream.id, ttl_seconds=int(self._leases.seconds) + 1)
        except UnavailableError:
            _log.info("stop left to the next checkpoint", stream=stream.id)
        return stream

    def _replayable(self, stream: Stream) -> bool:
        if stream.live or stream.ended_at is None:
            return True
        age = (self._clock.now() - stream.ended_at).total_seconds()
        return stream.outcome is not None and age < self._replay_seconds

    async def _look(self, wish: _Wish) -> _Attempt:
        """What a claim on the session as it is now would be."""
        tier = wish.principal.tier
        seen = await self._turns.look(wish.session_id, wish.principal.id, limit=_PROMPT_MESSAGES)
        if seen is None:
            raise NotFoundError
        model = find_model(wish.model_id or seen.session.model_id, tier=tier)
        if not holds(model, wish.message):
            raise QuestionTooLongError(bytes_within(model.prompt_room))
        fallbacks = (one for one in fallbacks_of(model, tier=tier) if holds(one, wish.message))
        context = fit(seen.conversation, wish.message, model)
        claim = claim_of(
            seen.session,
            owner=self._owner,
            question=wish.message,
            position=seen.last_position + 1,
            dropped_messages=context.dropped,
            reservation=Reservation(
                model_ids=tuple(one.id for one in (model, *fallbacks)),
                input_tokens=context.input_tokens,
                max_output_tokens=context.max_output_tokens,
                tier=tier,
            ),
            # later than the last by whichever process's clock, since streams are told in this order
            at=max(self._clock.now(), seen.session.updated_at + _MOMENT),
            idempotency_key=wish.idempotency_key,
            body_digest=wish.digest,
            traceparent=traceparent(),
        )
        return _Attempt(
            claim=claim, conversation=seen.conversation, after=seen.session.last_stream_id
        )

    async def _claim(self, wish: _Wish, attempt: _Attempt) -> _Attempt | Stream:
        """Take the session; the stream that the same key began before, if it did."""
        recovered = False
        gives_up_at = self._clock.monotonic() + _PROMISE_SECONDS
        while True:
            claim, lease_ends = attempt.claim, self._leases.ends_if_asked_now()
            try:
                other = await self._streams.claim(claim, lease_seconds=self._leases.seconds)
            except UnavailableError:
                await self._discard(claim)  # only its acknowledgement may be lost
                raise
            if other is None:
                return replace(attempt, lease_ends=lease_ends)
            key = wish.idempotency_key
            if key is not None and other.idempotency_key == key:
                if other.body_digest != claim.body_digest:
                    raise IdempotencyKeyReusedError
                if other.phase is not Phase.CLAIMED:
                    return other
                if self._clock.monotonic() < gives_up_at:
                    # it is promised in a moment, or refused: then this one is told why as well
                    await self._clock.sleep(_PROMISE_LOOK_SECONDS)
                    continue
            if recovered or not await self._recoveries.recover(other.id):
                raise SessionStreamsError(other.id)
            recovered = True
            attempt = await self._look(wish)  # the recovery may have changed the session

    async def _promise(self, attempt: _Attempt) -> Stream:
        """Reserve the credits and keep the user's message; undo the claim if that fails."""
        claim = attempt.claim
        allowed = await self._reserve(claim)
        reservation = replace(claim.reservation, max_output_tokens=allowed)
        stream = replace(claim, phase=Phase.RUNNING, reservation=reservation)
        try:
            beginning = await self._turns.begin(
                stream,
                question_message(stream),
                after=attempt.after,
                lease_seconds=self._leases.seconds,
            )
        except UnavailableError:
            await self._refuse(stream, "the beginning was not answered")
            raise
        if beginning is Beginning.FENCED:
            self._fences.count(LossPlace.START)
            raise UnavailableError("the session", retry_after=1)
        if beginning is Beginning.CHANGED:
            # it was deleted, or answered something else, between the look and the claim
            await self._refuse(stream, "the session has changed")
            if await self._turns.look(claim.session_id, claim.user_id, limit=1) is None:
                raise NotFoundError
            raise SessionStreamsError
        return stream

    async def _reserve(self, claim: Stream) -> int:
        try:
            return await self._accounts.reserve(
                claim.id, claim.user_id, claim.session_id, claim.reservation
            )
        except UnavailableError:
            # unanswered: the credits may be held, so they are given back by name
            await self._refuse(claim, "the reservation was not answered")
            raise
        except Exception:
            await self._discard(claim)
            raise

    async def _discard(self, claim: Stream) -> None:
        try:
            await self._streams.discard(claim)
        except UnavailableError:
            _log.warning("claim left to recovery", stream=claim.id)

    async def _refuse(self, stream: Stream, reason: str) -> None:
        try:
            await self._conclusions.refuse(stream, reason)
        except FenceLostError:
            _log.warning("claim taken by a recovery", stream=stream.id)
            self._fences.count(LossPlace.START)
        except UnavailableError:
            _log.warning("claim left to recovery", stream=stream.id)

    async def _generate(self, live: LiveStream, conversation: Conversation) -> None:
        try:
            await self._generator.run(live, conversation)
        finally:
            self._live.leave()
            self._live.retire(live)
