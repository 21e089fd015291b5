"""Federation: sites and a server that learn one ID classifier from shared embeddings."""
