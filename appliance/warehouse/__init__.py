"""Warehouses: from events to the rows of tables, in the layout that RudderStack's users know."""
