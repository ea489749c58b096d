"""Dead letters: outputs that can't become rows, kept in PostgreSQL with their original bytes and all evidence."""
