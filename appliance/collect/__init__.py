"""From bytes on the wire to validated raw events, or a refusal with its reason."""
