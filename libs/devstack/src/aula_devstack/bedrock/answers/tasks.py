"""Small tasks with one right answer: sums, counting, lists, repetition."""

import ast
import operator
import re
from collections.abc import Callable

_SPOKEN = (
    (
        re.compile(
            r"\b(?:multiplied by|times)\b|[\u00d7\u00b7]|(?<=\d)\s*x\s*(?=\d)", re.IGNORECASE
        ),
        "*",
    ),
    (re.compile(r"\b(?:divided by|over)\b|\u00f7", re.IGNORECASE), "/"),
    (re.compile(r"\bplus\b", re.IGNORECASE), "+"),
    (re.compile(r"\bminus\b|\u2212", re.IGNORECASE), "-"),
    (re.compile(r"\bto the power of\b|\^", re.IGNORECASE), "**"),
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
)
_EXPRESSION = re.compile(r"[\d(][\d\s.()+*/-]{0,120}[\d)]")
_COUNT = re.compile(
    r"\bcount (?:(?:from )?(?P<start>-?\d{1,6}) )?(?:up |down )?to (?P<end>-?\d{1,6})\b",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"\b(?:list|name|give me) (?P<number>\d{1,2}|two|three|four|five|six|seven|eight|nine|ten) "
    r"(?P<what>[^.?!\n]{3,120})",
    re.IGNORECASE,
)
_REPEAT = re.compile(
    r"\b(?:repeat(?: after me)?|say)\s*:?\s*[\"“'](?P<quoted>[^\"”]+)[\"”']", re.IGNORECASE
)
_REPEAT_AFTER = re.compile(r"\brepeat after me\s*:\s*(?P<rest>.+)", re.IGNORECASE | re.DOTALL)
_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
)  # fmt: skip
_ASKS_SUM = re.compile(
    r"\b(?:what|what's|how much|calculate|compute|work out|solve|evaluate)\b|=|^\W*\d[^a-z]*$",
    re.IGNORECASE,
)
_LONGEST_COUNT = 500
_LARGEST = 10**12
_LARGEST_POWER = 64
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ANGLES = (
    "start with what it is called and where you meet it",
    "say which parts it has and how they fit together",
    "look at one example that you can check yourself",
    "set it beside the thing that it is most often confused with",
    "ask what would change if it were missing",
    "find out who needed it first, and why",
    "note the mistake that beginners make with it",
    "measure or count something about it",
    "explain it in one sentence to someone younger",
    "write down the question that is still open",
)


def perform(question: str) -> str | None:
    """The result of the task in `question`, or None if there is none."""
    for task in (_repeat, _count, _list, _sum):
        result = task(question)
        if result is not None:
            return result
    return None


def _repeat(question: str) -> str | None:
    if quoted := _REPEAT.search(question):
        return quoted["quoted"]
    rest = _REPEAT_AFTER.search(question)
    return rest["rest"].strip() if rest else None


def _count(question: str) -> str | None:
    asked = _COUNT.search(question)
    if asked is None:
        return None
    start, end = int(asked["start"] or 1), int(asked["end"])
    step = 1 if end >= start else -1
    if abs(end - start) > _LONGEST_COUNT:
        end = start + step * _LONGEST_COUNT
    return ", ".join(str(number) for number in range(start, end + step, step)) + "."


def _list(question: str) -> str | None:
    asked = _LIST.search(question)
    if asked is None:
        return None
    word = asked["number"].lower()
    number = _NUMBERS.index(word) if word in _NUMBERS else int(word)
    what = asked["what"].strip()
    lines = [
        f"{index + 1}. {_ANGLES[index % len(_ANGLES)].capitalize()}." for index in range(number)
    ]
    return f"Here are {number} steps towards {what}:\n\n" + "\n".join(lines)


def _sum(question: str) -> str | None:
    if not _ASKS_SUM.search(question):
        return None
    text = question
    for pattern, sign in _SPOKEN:
        text = pattern.sub(sign, text)
    for found in _EXPRESSION.finditer(text):
        written = found[0].strip()
        if not re.search(r"[\d)]\s*[+*/-]", written):
            continue
        try:
            value = _evaluate(ast.parse(written, mode="eval").body)
        except ZeroDivisionError:
            return f"{written} has no value: nothing can be divided by zero."
        except (SyntaxError, ValueError, OverflowError, RecursionError):
            continue
        return f"{_spaced(written)} = {_shown(value)}"
    return None


def _evaluate(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, power = _evaluate(left), _evaluate(right)
            if abs(power) > _LARGEST_POWER or abs(base) > _LARGEST:
                raise ValueError(power)
            if base < 0 and power != int(power):
                raise ValueError(power)
            return operator.pow(base, power)  # type: ignore[no-any-return]  # real: see above
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_evaluate(left), _evaluate(right))
    raise ValueError(ast.dump(node))


def _spaced(written: str) -> str:
    return re.sub(r"\s*(\*\*|[+*/-])\s*", r" \1 ", " ".join(written.split()))


def _shown(value: float) -> str:
    if float(value).is_integer() and abs(value) < _LARGEST:
        return str(int(value))
    return str(value) if isinstance(value, int) else f"{value:.10g}"
