"""What is remembered: records, their canonical lines, the chain that links them, and the verifier that trusts nobody."""
