"""What a refusal of the service means, and saying so."""
