"""The browser SDK in a real browser, from another origin."""
