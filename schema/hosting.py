"""What our server and our applications know of each other beyond ASGI. Under another server there is neither, and all
works without: its streams end when it gives up on them.

    ENDING    in the lifespan's state: what to call when the server begins to end
    ABORT     in a request's scope: what drops its connection, with all that waits in it
"""

from __future__ import annotations

from typing import Final

ENDING: Final = "tripstream.ending"
ABORT: Final = "tripstream.abort"
