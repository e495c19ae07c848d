"""``python -m dashscope_ws_patch``: the command line."""

import sys

if __name__ == "__main__":
    try:
        from .cli.main import main
    except KeyboardInterrupt:  # after this, main() says it
        sys.exit(130)
    sys.exit(main())
