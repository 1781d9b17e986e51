"""A stand-in for an app process: runs the code it is given. In: code. Out: what that does."""

import sys

if __name__ == "__main__":
    exec(sys.argv[1], {"__name__": "__main__"})  # noqa: S102 that is its purpose
