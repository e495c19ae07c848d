"""``python -m dashscope_ws_patch``: the command line."""

import signal
import sys

if __name__ == "__main__":
    try:
        from .cli.main import main
    except KeyboardInterrupt:  # after this, main() says it
        sys.exit(130)
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said, and the interpreter ends
    sys.exit(status)
