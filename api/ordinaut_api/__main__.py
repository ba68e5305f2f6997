"""Entry point of ``python -m ordinaut_api``."""

from ordinaut_api.server import main

if __name__ == "__main__":
    main()
