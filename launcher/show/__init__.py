"""What people and programs read: tables and JSON. The only modules that print."""
