"""The web interface: pages for browsers, made of the management API's own calls."""
