"""Seeded mutations of text files: what editors, merges and typing mistakes do to a good file, and nastier things."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

# Values that are special to YAML 1.1, to number parsers, or to those who concatenate strings.
_WORDS = """
~ null yes no on off true 0x10 0o17 010 1_000 1e-1 1e999999 -1 -0 .5 .inf .nan 12:30:00 1:2 2026-12-01 99999999999999
0.1234567 '' "" [] {} [[ ]] {{ }} * & ! % @ ` | > - ? : , # <<: &a *a !!int --- ... %YAML H100: h100:0 :4 DURE_X 7d 12h
90 0s 9999999999d a/b A/B ../x [guaranteed] 2026-12-01T00:00:00+09:00 9999-12-31T23:59:59-23:59 0000-00-00T00:00:00Z
\u0663 \uff11\uff12 \u00e9 \ud55c\uae00 \U0001f600
"""
_TEXTS = ("{h100-80g: -1}", "{h100-80g: {a: 1}}", "a: b: c", "- - - a", '"\\ud800"', '"\\x00"', " " * 300, "[" * 40)
NASTY = (*_WORDS.split(), *_TEXTS, "\t", "\0", "\u2028", "\ufeff", "\x1b", "\r")
_TOKEN = re.compile(r"[A-Za-z0-9_./:+-]+")

Mutation = Callable[[random.Random, str], str]


def mutated(rng: random.Random, text: str, most: int = 4) -> bytes:
    """The text after one to ``most`` random mutations; now and then with a byte that is no UTF-8."""
    for _ in range(rng.randint(1, most)):
        text = rng.choice(MUTATIONS)(rng, text)
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.03:
        at = rng.randint(0, len(data))
        data = data[:at] + bytes([rng.choice((0x80, 0xC3, 0xFE, 0xFF))]) + data[at:]
    return data


def _replace_token(rng: random.Random, text: str) -> str:
    tokens = list(_TOKEN.finditer(text))
    if not tokens:
        return text
    token = rng.choice(tokens)
    return text[: token.start()] + rng.choice(NASTY) + text[token.end() :]


def _insert(rng: random.Random, text: str) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(NASTY) + text[at:]


def _delete(rng: random.Random, text: str) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + text[at + rng.choice((1, 1, 1, 5, 40)) :]


def _swap_tokens(rng: random.Random, text: str) -> str:
    tokens = list(_TOKEN.finditer(text))
    if len(tokens) < 2:
        return text
    one, other = sorted(rng.sample(tokens, 2), key=lambda token: token.start())
    return text[: one.start()] + other[0] + text[one.end() : other.start()] + one[0] + text[other.end() :]


def _misspell(rng: random.Random, text: str) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice("abcxyz:-{}[],\"' ") + text[at + 1 :]


def _repeat_line(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    return "\n".join([*lines[:at], lines[at], *lines[rng.randrange(len(lines)) :]])


def _indent_line(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    lines[at] = rng.choice((" ", "  ", "\t", "- ")) + lines[at]
    return "\n".join(lines)


def _cut(rng: random.Random, text: str) -> str:
    return text[: rng.randint(0, len(text))]


MUTATIONS: tuple[Mutation, ...] = (
    _replace_token,
    _replace_token,
    _replace_token,
    _insert,
    _delete,
    _swap_tokens,
    _misspell,
    _repeat_line,
    _indent_line,
    _cut,
)
