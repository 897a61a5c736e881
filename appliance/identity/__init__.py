"""Who is who: which ids belong to one person, and which people may be one."""
