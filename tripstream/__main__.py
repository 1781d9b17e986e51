"""`python -m tripstream`, which is how the supervisor starts its children: no script has to be on the PATH."""

from tripstream.cli import app

app(prog_name="tripstream")
