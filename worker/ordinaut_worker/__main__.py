"""Entry point of ``python -m ordinaut_worker``."""

from ordinaut_worker.app import main

if __name__ == "__main__":
    main()
