"""Pictures of fits, searches and densities."""
