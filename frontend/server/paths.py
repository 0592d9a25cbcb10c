"""Where the server's sockets lie, for it and for the command line."""

from pathlib import Path
from typing import Final

ADMIN_SOCKET: Final = Path("run") / "admin.sock"  # below the data directory; its folder is 0700
