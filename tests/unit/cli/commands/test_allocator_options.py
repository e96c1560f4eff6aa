"""The server's allocator reads its options once, when the server is loaded."""

from __future__ import annotations

import subprocess
import sys

SERVER_IS_LOADED = "import sys; import rtaplatform.cli.commands.api; print('granian' in sys.modules)"


def test_the_command_does_not_load_the_server_before_it_has_set_the_options() -> None:
    process = subprocess.run([sys.executable, "-c", SERVER_IS_LOADED], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "False"
