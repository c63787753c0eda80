"""The audit of finished numbers: a record against its stored scores, or a published table against arithmetic."""
