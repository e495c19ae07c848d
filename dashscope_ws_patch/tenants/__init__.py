"""Tenants: scopes that follow web requests and the work of engines. Each module is imported by who
uses it, and by nothing else."""
