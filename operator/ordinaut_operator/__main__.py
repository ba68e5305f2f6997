"""Entry point of ``python -m ordinaut_operator``."""

from ordinaut_operator.app import main

if __name__ == "__main__":
    main()
