"""Every row of the fault table: real processes, a robot that misbehaves, and a referee that trusts nobody."""
