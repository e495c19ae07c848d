"""The command line; imported by nobody else."""
