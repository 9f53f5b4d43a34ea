"""A federation on handwritten digits: server, client, and what both know."""
