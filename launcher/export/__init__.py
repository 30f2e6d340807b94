"""The ledger for other programs: as one JSON document, or as a folder of CSV files."""
