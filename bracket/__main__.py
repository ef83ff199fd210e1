"""`python -m bracket`."""

from bracket.cli import main

if __name__ == "__main__":
    main()
