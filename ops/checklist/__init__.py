"""`ops checklist`: the validation checklist of the migration, each point checked by machine or attested by a person."""
