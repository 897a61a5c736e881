"""`python -m tui [URL]`: the console without the rest of Sternpost."""

import argparse
import sys
from pathlib import Path

from tui.start import StartFault, run_console


def main() -> int:
    """Run the console; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tui", description="The Sternpost console.")
    parser.add_argument("url", nargs="?", default="", help="the admin API, such as http://127.0.0.1:8081")
    parser.add_argument("--data", type=Path, default=Path("sternpost-data"), help="data folder of an appliance here")
    parser.add_argument("--token-file", type=Path, help="file that holds the token")
    parser.add_argument("--read-only", action="store_true", help="offer nothing that changes anything")
    args = parser.parse_args()
    try:
        return run_console(args.url, args.data, args.token_file, read_only=args.read_only)
    except StartFault as fault:
        print(f"error: {fault.message}\n  {fault.next_step}", file=sys.stderr)
        return fault.code


if __name__ == "__main__":
    sys.exit(main())
