"""`python -m bracket`."""

from bracket.cli.app import main

if __name__ == "__main__":
    main()
