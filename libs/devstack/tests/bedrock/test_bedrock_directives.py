import pytest
from hypothesis import given
from hypothesis import strategies as st

from aula_devstack.bedrock.directives import (
    Attempts,
    Behaviour,
    Fault,
    read_directives,
    without_directives,
)
from aula_devstack.bedrock.errors import BedrockError

OPUS = "anthropic.claude-3-opus-20240229-v1:0"


def read(text: str, *, model_id: str = OPUS, tried: Attempts | None = None) -> Behaviour:
    attempts = tried or Attempts()
    return read_directives(text, model_id=model_id, pace=30, attempts=attempts)[0]


def rest(text: str) -> str:
    return read_directives(text, model_id=OPUS, pace=30, attempts=Attempts())[1]


def test_directives_may_stand_anywhere_and_are_left_out() -> None:
    text = "Why [[pace=5]] is [[tokens=9 batch=3]]it so? [[nonce=n slow-start=7]]"
    assert read(text) == Behaviour(pace=5, tokens=9, batch=3, slow_start=7, nonce="n")
    assert rest(text) == "Why is it so? "


@pytest.mark.parametrize(
    ("directive", "fault"),
    [
        ("fault=throttled", Fault("throttled")),
        ("overloaded", Fault("overloaded")),
        ("fault=stall", Fault("stall")),
        ("stall@10", Fault("stall", at=10)),
        ("fault=cut@10", Fault("cut", at=10)),
        ("cut@stop", Fault("cut", after_stop=True)),
        ("hang", Fault("hang")),
        ("fault=ModelErrorException", Fault("ModelErrorException")),
        (
            "error@2 exception=throttlingException",
            Fault("error", at=2, exception="throttlingException"),
        ),
    ],
)
def test_faults_are_named_with_or_without_their_key(directive: str, fault: Fault) -> None:
    assert read(f"[[{directive}]]").fault == fault


@pytest.mark.parametrize("usage", ["no-usage", "usage-twice", "usage-absurd", "zero-usage"])
def test_usage_misbehaves_beside_other_faults(usage: str) -> None:
    behaviour = read(f"[[{usage}]] [[fault=cut@3]]")
    assert behaviour.usage == usage
    assert behaviour.fault == Fault("cut", at=3)


def test_usage_may_be_any_two_counts() -> None:
    behaviour = read("[[usage=-1:1099511627776]]")
    assert (behaviour.usage, behaviour.counts) == ("counts", (-1, 2**40))


@pytest.mark.parametrize("text", ["[[a wiki link]]", "[[ ]]", "x[[0]]", "[[pace]]", "[pace=5]"])
def test_other_brackets_are_text(text: str) -> None:
    assert read(text) == Behaviour(pace=30)
    assert rest(text) == text


@pytest.mark.parametrize(
    "text",
    ["[[fault=thorttled]]", "[[pace=fast]]", "[[pace=-1]]", "[[tokens=9999999999]]", "[[cut@x]]",
     "[[fault=throttled@3]]", "[[pace=5 foo]]", "[[error exception=x]]", "[[pace=٣]]",
     "[[usage=5]]", "[[usage=many:few]]", "[[no-usage@stop]]", "[[throttled@stop]]"],
)  # fmt: skip
def test_a_slip_is_told(text: str) -> None:
    with pytest.raises(BedrockError) as raised:
        read(text)
    assert raised.value.name == "ValidationException"


def test_times_limits_a_directive_to_the_first_requests() -> None:
    tried = Attempts()
    struck = [read("[[fault=throttled times=2]] hi", tried=tried).fault for _ in range(4)]
    assert struck == [Fault("throttled"), Fault("throttled"), None, None]
    assert read("[[fault=throttled times=2 nonce=b]]", tried=tried).fault is not None


def test_one_fault_strikes_at_a_time_and_the_next_waits_for_its_turn() -> None:
    tried = Attempts()
    text = "[[throttled times=1]] [[cut@3 times=1]]"
    struck = [read(text, tried=tried).fault for _ in range(3)]
    assert struck == [Fault("throttled"), Fault("cut", at=3), None]


@pytest.mark.parametrize(
    ("prefix", "strikes"),
    [("anthropic.claude-3-opus", True), ("us.anthropic", True), ("amazon.titan", False)],
)
def test_a_fault_may_be_for_some_models_only(prefix: str, *, strikes: bool) -> None:
    tried = Attempts()
    text = f"[[throttled model={prefix} times=1]]"
    for model_id in ("meta.llama2-13b-chat-v1", f"us.{OPUS}"):
        fault = read(text, model_id=model_id, tried=tried).fault
        assert (fault is not None) == (strikes and model_id != "meta.llama2-13b-chat-v1")


def test_clear_forgets_what_an_earlier_turn_asked_for() -> None:
    assert read("[[fault=cut@0 pace=1]]\n\n[[clear]] again").fault is None
    assert read("[[clear]] [[cut@1]]").fault == Fault("cut", at=1)


def test_earlier_turns_are_read_without_directives() -> None:
    assert without_directives("My [[pace=5]] name [[is]] Ada [[ ]]") == "My name [[is]] Ada [[ ]]"


@given(st.text())
def test_text_without_brackets_is_untouched(text: str) -> None:
    plain = text.replace("[", "(")
    assert read(plain) == Behaviour(pace=30)
    assert rest(plain) == plain


def test_attempts_are_remembered_within_bounds() -> None:
    attempts = Attempts()
    for number in range(10_001):
        assert attempts.take(str(number), 1)
    assert not attempts.take("10000", 1)
    assert attempts.take("0", 1)
