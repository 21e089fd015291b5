"""How older databases become those of today; run when the service starts."""
