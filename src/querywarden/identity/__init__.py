"""Who is speaking? Tokens, key sets, service tokens, and how their claims become a principal."""
