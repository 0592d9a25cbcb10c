"""The verbs of the command line that are more than one call to the server."""
