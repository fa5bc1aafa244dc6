"""What spans tell of a stream: its ids and its end, and nothing of what was said."""

from aula_chat.domain.streams import Stream
from aula_common.traces import Attributes, Span, fail


def stream_attributes(stream: Stream) -> Attributes:
    """What is known of a stream from its start."""
    return {
        "aula.stream_id": stream.id,
        "aula.session_id": stream.session_id,
        "aula.fence": stream.fence,
        "gen_ai.request.model": stream.reservation.model_ids[0],
    }


def describe_end(span: Span, stream: Stream) -> None:
    """Tell how a stream ended: its outcome, tokens and credits; `lost` if it is not known here."""
    if stream.live or stream.outcome is None or stream.intent is None:
        span.set_attribute("aula.outcome", "lost")
        fail(span, "lost")
        return
    span.set_attributes(
        {
            "aula.outcome": str(stream.outcome.status),
            "aula.settlement": "settled" if stream.settlement else "pending",
            "gen_ai.response.model": stream.outcome.model_id,
            "gen_ai.usage.input_tokens": stream.intent.input_tokens,
            "gen_ai.usage.output_tokens": stream.intent.output_tokens,
        }
    )
    if stream.settlement is not None:
        span.set_attribute("aula.credits", stream.settlement.credits)
    if stream.outcome.code is not None:
        fail(span, str(stream.outcome.code))
