"""`python -m appliance` and the command `sternpost`."""

import sys


def main() -> int:
    """Run the command line; returns the exit code (see `sternpost --help`)."""
    from appliance.cli.frame import main as run_command_line

    return run_command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
