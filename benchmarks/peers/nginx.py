"""nginx's stream module with one worker, which here is the only process."""

import subprocess
from pathlib import Path

from benchmarks.peers.program import Program

MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def _unavailable() -> str:
    if MODULE.exists():
        return ""
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False).stderr
    return "" if "--with-stream " in built + " " else "nginx has no stream module (Debian: libnginx-mod-stream)"


def _command(config: Path) -> list[str]:
    module = ["-g", f"load_module {MODULE};"] if MODULE.exists() else []
    return ["nginx", "-e", f"{config}.log", *module, "-c", str(config)]


NGINX = Program(
    name="nginx",
    template="nginx.conf",
    backend_line="        server $address weight=$weight;",
    command=_command,
    version_command=["nginx", "-v"],
    unavailable=_unavailable,
)
