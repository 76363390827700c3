"""Running programs, with real ones; more of it is tested with the kinds that do so."""

import pytest

from discovery import program
from discovery.program import Ended, TooMuchOutputError


async def run(script: str, *, linger: bool = False) -> Ended:
    return await program.run(["sh", "-c", script], most=1000, most_errors=100, linger=linger)


async def test_its_end_is_told_with_what_it_wrote() -> None:
    assert await run("echo a; echo b >&2; echo c >&2; exit 3") == Ended(3, b"a\n", "b | c")
    assert (await run("kill -9 $$")).status == -9


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "exited with status 0"),
        ("exit 255", "exited with status 255"),
        ("kill -SEGV $$", "was killed by SIGSEGV"),
        ("kill -40 $$", "was killed by signal 40"),
    ],
)
async def test_its_end_is_put_into_words(script: str, words: str) -> None:
    assert (await run(script)).ending == words


async def test_a_child_is_killed_with_it_or_may_go_on_printing() -> None:
    script = "(sleep 0.2; echo late) & echo soon"
    assert (await run(script)).output == b"soon\n"
    assert (await run(script, linger=True)).output == b"soon\nlate\n"


@pytest.mark.parametrize("script", ["cat /dev/zero", "(sleep 0.1; cat /dev/zero) &", "sleep 600 & cat /dev/zero"])
async def test_who_prints_without_end_is_killed(script: str) -> None:
    with pytest.raises(TooMuchOutputError):
        await run(script, linger=True)


async def test_of_its_errors_the_end_is_kept() -> None:
    ended = await run("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2")
    assert ended.errors == f"{'x' * 96}end"


@pytest.mark.parametrize(("command", "error"), [(["/gone"], FileNotFoundError), (["echo", "\0"], ValueError)])
async def test_what_cannot_be_run_is_an_error(command: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        await program.run(command, most=1000, most_errors=100)
