"""Everything that goes to addresses which callers have named: their files, their results, their webhooks."""
