"""How a ledger of each version becomes the next one. Forward only."""
