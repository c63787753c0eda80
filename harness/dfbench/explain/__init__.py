"""Evidence beside the numbers: where a detector looks, which frequencies it depends on, what its attackers draw."""
