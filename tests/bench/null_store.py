"""The appliance with its log switched to a store that keeps nothing: what the log costs is the difference."""

import sys

from appliance.__main__ import main

if __name__ == "__main__":
    sys.argv.append("--null-store")
    sys.exit(main())
