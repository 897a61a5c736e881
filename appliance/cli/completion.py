"""`sternpost completion`: print the completion script of a shell."""

import argparse

SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = 'bash: eval "$(sternpost completion bash)"\nzsh:  eval "$(sternpost completion zsh)"'
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    import shtab

    from appliance.cli.frame import build_parser, complete_all

    parser = build_parser()
    complete_all(parser)
    print(shtab.complete(parser, args.shell))
    return 0
