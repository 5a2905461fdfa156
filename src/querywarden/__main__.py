"""`python -m querywarden`: the command line."""

from querywarden.cli.main import run

if __name__ == "__main__":
    run()
