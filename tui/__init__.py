"""The Textual console; talks to the admin API over HTTP and imports nothing of appliance."""
