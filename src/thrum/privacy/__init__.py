"""Privacy: what may leave a site, and in which form."""
