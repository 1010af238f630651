"""Requests made up from the OpenAPI document, and good jobs with one thing changed, against a real server."""
