import subprocess
import sys

from gobetween_py.client import command_line, commands


def test_every_command_can_be_carried_out() -> None:
    assert commands.COMMANDS.keys() == command_line.ROWS.keys()


def test_other_commands_do_not_load_an_http_client() -> None:
    """It takes longer to load than all that `check` needs."""
    code = "import gobetween_py.cli, sys; print({'aiohttp', 'rich'} & sys.modules.keys())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set()\n"
