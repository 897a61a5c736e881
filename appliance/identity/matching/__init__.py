"""Who may be one, from names, addresses and the like: a model that learns from the people themselves, and suggests."""
