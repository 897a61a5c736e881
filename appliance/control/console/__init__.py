"""The operator's console in the browser, on the admin listener: a door with a token, one child process per window."""
