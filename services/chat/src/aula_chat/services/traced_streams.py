"""Streams with a span each: from before the claim until the answer is stored and told.

It outlives the request that it belongs to, and is current in all that the stream does, so that the
calls to accounting and the model's answer are its children. Used in place of their parents while
traces are on.
"""

from aula_chat.domain.prompts import Conversation
from aula_chat.domain.streams import Stream
from aula_chat.services.generation import Generator
from aula_chat.services.live_streams import LiveStream
from aula_chat.services.stream_spans import describe_end, stream_attributes
from aula_chat.services.streams import Streams
from aula_common.errors import AulaError
from aula_common.security.principal import Principal
from aula_common.traces import begin, current, fail, inside, traceparent


class TracedStreams(Streams):
    """Begins the span. It ends here if nothing began that is to be generated."""

    async def start(
        self,
        principal: Principal,
        session_id: str,
        *,
        message: str,
        model_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Stream:
        """See Streams.start."""
        span = begin("stream", {"aula.session_id": session_id})
        begun = False
        try:
            with current(span):
                stream = await super().start(
                    principal,
                    session_id,
                    message=message,
                    model_id=model_id,
                    idempotency_key=idempotency_key,
                )
                # else it is the one that the same key began before
                begun = stream.traceparent == traceparent()
            span.set_attributes(dict(stream_attributes(stream)))
        except Exception as error:
            fail(span, error.code if isinstance(error, AulaError) else type(error).__name__)
            raise
        finally:
            if not begun:
                span.end()
        return stream


class TracedGenerator(Generator):
    """Ends the span, which is current where a generation was started."""

    async def run(self, live: LiveStream, conversation: Conversation) -> None:
        """See Generator.run."""
        try:
            await super().run(live, conversation)
        finally:
            if (span := inside()) is not None:
                describe_end(span, live.stream)
                span.end()
