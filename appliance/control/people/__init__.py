"""People at the admin API: found, shown, told apart, exported, suggested."""
