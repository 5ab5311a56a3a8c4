"""Pictures of regions."""
